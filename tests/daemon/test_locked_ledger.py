"""A ledger that another program holds: waited for, shown, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from house import House
from sqlalchemy import update

from storage.database.tables import lease
from storage.errors import LedgerUnavailable


def test_a_ledger_locked_in_the_middle_of_an_answer_loses_no_recording(
    house: House, audio_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    house.begin_to_decode(audio_file())
    with monkeypatch.context() as locked:
        locked.setattr(house.window, "known_answers", refuse)
        with pytest.raises(LedgerUnavailable):
            house.window.step()
    house.live()
    assert house.rows() == [("a.wav", "done")]


def test_a_ledger_locked_in_the_middle_of_a_scan_hides_no_file(
    house: House, audio_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    house.drop(audio_file(), "a.wav")
    with monkeypatch.context() as locked:
        locked.setattr(house.ledger, "known", refuse)
        with pytest.raises(LedgerUnavailable):
            house.intake.look(house.now)
    assert not house.service.is_done
    house.live(5)
    assert house.rows() == [("a.wav", "done")]


def test_a_locked_ledger_is_waited_for_and_shown(
    house: House, audio_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    house.drop(audio_file(), "a.wav")
    with monkeypatch.context() as locked:
        for question in ("known", "admit", "claim", "record"):
            locked.setattr(house.ledger, question, refuse)
        locked.setattr("daemon.control.ledger_retry.RETRY_SECONDS", 0)
        for _ in range(10):
            house.service.try_tick()
            house.now += 1
        assert "database is locked" in str(house.statuses[-1]["faults"])
    house.live()
    assert house.rows() == [("a.wav", "done")]
    assert house.statuses[-1]["faults"] == []


def refuse(*_: object, **__: object) -> None:
    raise LedgerUnavailable("database is locked")


def test_a_ledger_locked_for_ever_lets_nothing_pile_up(
    house: House, audio_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.control.ledger_retry.RETRY_SECONDS", 0)
    source = audio_file()
    for number in range(50):
        house.drop(source, f"{number}.wav")
    house.live(3)
    with monkeypatch.context() as locked:
        for question in ("known", "admit", "claim", "record", "known_answers"):
            locked.setattr(house.ledger, question, refuse)
        for _ in range(100):
            house.service.try_tick()
            house.now += 36
        status = house.statuses[-1]
        assert int(str(status["in_flight"])) + int(str(status["waiting"])) <= 50
        assert "database is locked" in str(status["faults"])
    house.live()
    assert [state for _, state in house.rows()] == ["done"] * 50


def test_a_stop_that_gives_up_the_ledger_closes_everything_else(
    house: House, audio_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    house.begin_to_decode(audio_file())
    for _ in range(2):  # the second one does not wait any more
        house.service.request_stop()
    stopped: list[str] = []
    for name in ("watcher", "model"):
        monkeypatch.setattr(
            getattr(house, name), "stop", lambda *_, name=name: stopped.append(name)
        )
    with monkeypatch.context() as locked:
        locked.setattr(house.ledger, "release", refuse)
        with pytest.raises(LedgerUnavailable):
            house.service.drain()
    assert stopped == ["watcher", "model"]
    assert house.statuses[-1]["stopping"]
    assert "database is locked" in str(house.statuses[-1]["faults"])
    house.service.drain()  # still knows what to give back
    assert house.ask("SELECT state, attempts, claimed_by FROM recording") == [("pending", 0, None)]


def test_a_stop_writes_what_was_scored_while_the_ledger_was_locked(
    house: House, audio_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    house.begin_to_decode(audio_file())
    scorer = house.service.components.scorer
    with monkeypatch.context() as locked:
        locked.setattr(house.ledger, "record", refuse)
        with pytest.raises(LedgerUnavailable):
            for _ in range(5):
                scorer.step(house.now)
    scorer.stop()
    assert house.rows() == [("a.wav", "done")]


def test_a_stop_without_a_lease_any_more_closes_all_and_writes_nothing(
    house: House, audio_file: Callable[..., Path]
) -> None:
    house.ledger.lease.seconds = 30.0  # as on a server
    house.begin_to_decode(audio_file())
    with house.ledger.database.transaction() as connection:
        connection.execute(update(lease).values(lost_at="2026"))  # by another daemon
    house.service.drain()
    assert house.statuses[-1]["in_flight"] == 0
    assert [state for (state,) in house.ask("SELECT state FROM recording")] == ["pending"]


def test_a_daemon_that_lost_its_lease_takes_another_and_goes_on(
    house: House, audio_file: Callable[..., Path]
) -> None:
    house.ledger.lease.seconds = 30.0  # as on a server
    house.begin_to_decode(audio_file())
    with house.ledger.database.transaction() as connection:
        connection.execute(update(lease).values(lost_at="2026"))
    house.live()
    assert house.ask("SELECT state, attempts FROM recording") == [("done", 1)]
