"""A file that its writer closed whole is answered at once; everything else waits until it rests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from house import House, HouseMaker

from storage.errors import LedgerUnavailable


def close(house: House, source: Path, name: str) -> Path:
    """A writer writes a file into the inbox and closes it."""
    path = house.drop(source, name)
    house.watcher.ring(house.inbox, name.encode(), was_closed=True)
    return path


def test_a_whole_file_is_answered_as_soon_as_it_is_closed(
    house: House, audio_file: Callable[..., Path]
) -> None:
    close(house, audio_file(), "a.wav")
    house.service.tick(house.now)
    assert house.rows() == [("a.wav", "done")]


def test_a_file_that_is_closed_half_written_waits_for_the_rest(
    house: House, audio_file: Callable[..., Path], tmp_path: Path
) -> None:
    whole = audio_file().read_bytes()
    (tmp_path / "half.wav").write_bytes(whole[:9000])
    path = close(house, tmp_path / "half.wav", "a.wav")
    house.service.tick(house.now)
    assert house.rows() == []
    path.write_bytes(whole)
    house.watcher.ring(house.inbox, b"a.wav", was_closed=True)
    house.service.tick(house.now)
    assert house.rows() == [("a.wav", "done")]


def test_a_whole_file_that_was_not_closed_settles_first(
    house: House, audio_file: Callable[..., Path]
) -> None:
    house.drop(audio_file(), "a.wav")
    house.watcher.ring(house.inbox, b"a.wav")
    house.live(seconds=2)
    assert house.rows() == []
    house.live(seconds=1)
    assert house.rows() == [("a.wav", "done")]


def test_what_is_written_after_a_file_was_answered_is_a_new_version(
    house: House, audio_file: Callable[..., Path], noise: Callable[..., np.ndarray]
) -> None:
    for seconds in (1, 2, 3):  # one that appends, with a header that is right each time
        close(house, audio_file("more.wav", noise(seconds)), "a.wav")
        house.service.tick(house.now)
    house.live()
    assert house.rows() == [("a.wav", "done")] + [("a.wav", "superseded")] * 2
    assert house.ask("SELECT duration_s FROM recording WHERE state = 'done'") == [(3.0,)]


def test_with_an_archive_every_file_settles_before_it_may_be_moved(
    make_house: HouseMaker, audio_file: Callable[..., Path]
) -> None:
    house = make_house(**{"intake.archive_dir": "archive"})
    close(house, audio_file(), "a.wav")
    house.live(seconds=2)
    assert house.rows() == []


def test_a_burst_of_rings_is_looked_at_in_steps_and_none_is_forgotten(
    house: House,
    audio_file: Callable[..., Path],
    noise: Callable[..., np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("daemon.intake.intake.EVENTS_STEP", 3)
    for number in range(10):
        close(house, audio_file("a.wav", noise(0.1, seed=number)), f"{number}.wav")
    assert house.service.tick(house.now)
    assert len(house.rows()) == 3
    while house.service.tick(house.now):
        pass
    assert [state for _, state in house.rows()] == ["done"] * 10


def test_rings_beyond_what_is_remembered_are_found_by_the_scan(
    house: House,
    audio_file: Callable[..., Path],
    noise: Callable[..., np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("daemon.intake.intake.MAX_EVENTS", 3)
    for number in range(10):
        close(house, audio_file("a.wav", noise(0.1, seed=number)), f"{number}.wav")
    house.live(seconds=1)
    assert len(house.rows()) == 3
    house.live(seconds=10)
    assert [state for _, state in house.rows()] == ["done"] * 10


def test_a_whole_file_that_met_a_locked_ledger_is_answered_when_it_is_free(
    house: House, audio_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    close(house, audio_file(), "a.wav")
    with monkeypatch.context() as locked:
        locked.setattr(house.ledger, "claim", raise_unavailable)
        with pytest.raises(LedgerUnavailable):
            house.service.tick(house.now)
    house.service.tick(house.now)
    assert house.rows() == [("a.wav", "done")]


def raise_unavailable(*_: object) -> None:
    raise LedgerUnavailable("locked")


def test_one_run_does_not_end_before_every_ring_was_answered(
    house: House, audio_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.intake.intake.EVENTS_STEP", 1)
    house.live()
    assert house.service.is_done
    house.watcher.ring(house.inbox, b"gone.wav", was_closed=True)
    close(house, audio_file(), "a.wav")
    house.service.tick(house.now)
    assert not house.service.is_done


def test_one_run_does_not_end_before_forgotten_rings_were_made_good_by_a_scan(
    house: House, audio_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.intake.intake.MAX_EVENTS", 1)
    house.live()
    house.watcher.ring(house.inbox, b"gone.wav", was_closed=True)
    close(house, audio_file(), "a.wav")
    house.service.tick(house.now)
    assert not house.service.is_done
    while not house.service.is_done:
        house.live(seconds=1)
    assert house.rows() == [("a.wav", "done")]


def test_a_whole_file_settles_where_a_second_write_might_leave_the_same_times(
    house: House, audio_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "classifier.audio.regular_file.FINE_NS", 1
    )  # as if every time were a round one
    close(house, audio_file(), "a.wav")
    house.service.tick(house.now)
    assert house.rows() == []
    house.live(seconds=5)
    assert house.rows() == [("a.wav", "done")]
