"""The process that scores dies: nothing is lost, and what killed it is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from house import House, HouseMaker, InlinePredictor

from classifier.audio.samples import Samples
from classifier.errors import DeviceError
from classifier.inference.scoring_process import ScoredBatch, ScoringProcessDied
from daemon.errors import DaemonError
from storage.errors import LedgerUnavailable

NEW = "20260203T030405Z-00000002"
LOUD = 0.2  # on average, as the tone of a test is, and noise is not

Drop = Callable[..., None]


@pytest.fixture
def drop(audio_file: Callable[..., Path], noise: Callable[..., np.ndarray]) -> Drop:
    """`drop(house, n)`: so many recordings of two clips each, 0.wav and so on."""

    def drop(house: House, n: int) -> None:
        for number in range(n):
            house.drop(audio_file("noise.wav", noise(seed=number)), f"{number}.wav")

    return drop


@pytest.fixture
def deadly_tones(monkeypatch: pytest.MonkeyPatch) -> None:
    """A predictor that is given a tone dies of it."""
    submit = InlinePredictor.submit

    def submit_or_die(
        predictor: InlinePredictor, clips: Sequence[Samples], with_embeddings: bool = False
    ) -> Future[ScoredBatch]:
        if max(np.abs(clip).mean() for clip in clips) > LOUD:
            return died(predictor)
        return submit(predictor, clips, with_embeddings)

    monkeypatch.setattr(InlinePredictor, "submit", submit_or_die)


def test_nothing_is_lost_and_an_attempt_counts_for_what_was_being_scored(
    make_house: HouseMaker, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(**{"engine.batch_clips": 2, "intake.settle_seconds": 0})
    drop(house, 10)
    die_of_the_next_batch(house, monkeypatch)
    house.service.components.scorer.step(house.now)
    assert attempts(house) == [1, 1] + 8 * [0]  # two batches of one recording each
    house.live()
    assert [state for _, state in house.rows()] == ["done"] * 10
    assert deaths(house) == 1


def test_copies_of_what_was_being_scored_are_answered_too(
    house: House, audio_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.wav", "b.wav"):
        house.drop(audio_file(), name)
    die_of_the_next_batch(house, monkeypatch)
    house.live()
    assert house.rows() == [("a.wav", "done"), ("b.wav", "done")]


def test_a_batch_that_came_back_before_the_death_costs_no_attempt(
    make_house: HouseMaker, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house(**{"engine.batch_clips": 2, "intake.settle_seconds": 0})
    drop(house, 2)
    batches: list[Future[ScoredBatch]] = []
    with monkeypatch.context() as dying:
        dying.setattr(InlinePredictor, "submit", lambda *_: batches.append(Future()) or batches[-1])
        house.live(1)
    first, second = batches
    first.set_result(ScoredBatch(np.ones((2, 3), np.float32), 0.1, None))
    second.set_exception(ScoringProcessDied())
    house.model.served.predictor.is_alive = False  # type: ignore[misc]
    house.service.components.scorer.step(house.now)
    assert attempts(house) == [0, 1]


def test_what_was_there_each_time_is_tried_alone_and_given_up_in_the_end(
    house: House, drop: Drop, audio_file: Callable[..., Path], deadly_tones: None
) -> None:
    drop(house, 20)
    house.drop(audio_file(), "tone.wav")
    house.live(120)
    assert [state for _, state in house.rows()] == ["done"] * 20 + ["failed"]
    assert house.ask("SELECT error_class FROM recording WHERE state = 'failed'") == [("given_up",)]
    assert deaths(house) == 2 * house.settings.intake.max_attempts


@pytest.mark.parametrize("question", ["release", "reclaim", "register_checkpoint"])
def test_a_ledger_that_is_locked_meanwhile_costs_no_recording_and_one_death(
    house: House, drop: Drop, monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    monkeypatch.setattr("daemon.control.ledger_retry.RETRY_SECONDS", 0)
    drop(house, 10)
    house.live(2)
    die_of_the_next_batch(house, monkeypatch)
    with monkeypatch.context() as locked:
        locked.setattr(house.ledger, question, refuse)
        for _ in range(3):
            house.service.try_tick()
            house.now += 1
        assert "database is locked" in str(house.statuses[-1]["faults"])
    house.live()
    assert {state for _, state in house.rows()} == {"done"}
    assert deaths(house) == 1


def test_a_death_is_noticed_before_another_checkpoint_takes_over(
    house: House, drop: Drop, checkpoint_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its network is in another process, which knows nothing of the batches of the first."""
    drop(house, 3)
    die_of_the_next_batch(house, monkeypatch)
    house.publish(checkpoint_file, NEW)
    house.model.step(house.now)  # and then the ledger was locked, so that it had no other turn
    if house.model.is_preparing:
        house.model._candidate[1].result()  # type: ignore[index]
    house.live()
    assert house.model.served.name == NEW
    assert {state for _, state in house.rows()} == {"done"}


def test_a_stop_begins_no_other_process(
    house: House, audio_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InlinePredictor, "submit", lambda predictor, *_: died(predictor))
    house.begin_to_decode(audio_file())
    house.service.request_stop()
    monkeypatch.setattr(house.model, "begin_again", lambda: pytest.fail("another was begun"))
    house.service.drain()
    assert house.ask("SELECT state, claimed_by FROM recording") == [("pending", None)]


# Killed by a candidate


def test_a_candidate_that_kills_the_process_is_refused_and_the_old_one_serves(
    house: House, drop: Drop, second_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = house.model.served.name
    monkeypatch.setattr(house.model, "_load", killed_by(house, NEW))
    house.publish(second_checkpoint, NEW)
    drop(house, 3)
    house.live()
    assert house.model.served.name == served
    assert f"checkpoint {NEW} is not tried again" in str(house.statuses[-1]["checkpoint_refused"])
    assert NEW in house.home.trial_file.read_text()
    assert {state for _, state in house.rows()} == {"done"}
    house.service.request_reload()
    house.live()
    assert deaths(house) == 1
    assert house.ask("SELECT count(*) FROM checkpoint WHERE verdict = 'refused'") == [(1,)]


def test_a_candidate_that_was_loaded_when_the_process_died_of_another_reason_is_served(
    house: House, checkpoint_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house.model, "_load", killed_by(house, NEW, times=1))
    house.publish(checkpoint_file, NEW)
    house.live()
    assert (house.model.served.name, house.model.refusal) == (NEW, None)
    assert not house.home.trial_file.exists()


def test_at_the_start_a_killer_gives_way_to_the_previous_one(
    make_house: HouseMaker, checkpoint_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = make_house()
    served = house.model.served.name
    house.publish(checkpoint_file, NEW)
    monkeypatch.setattr(InlinePredictor, "__init__", dying_init(NEW))
    restarted = make_house()
    restarted.live(1)
    assert restarted.model.served.name == served
    assert restarted.statuses[-1]["figures"]["checkpoint_refusals"] == 1  # type: ignore[index]
    assert NEW in restarted.home.trial_file.read_text()


def test_what_was_served_goes_on_where_both_links_lead_to_refused_ones(
    house: House, drop: Drop
) -> None:
    served = house.model.served.name
    for name in (NEW, f"{NEW[:-1]}3"):
        house.checkpoints.put(name, b"no checkpoint")
        house.checkpoints.activate(name)
        house.live(2)
    house.model.served.predictor.is_alive = False  # type: ignore[misc]
    drop(house, 1)
    house.live()
    assert (house.model.served.name, house.rows()) == (served, [("0.wav", "done")])


@pytest.mark.parametrize("error", [ScoringProcessDied(), DeviceError("no GPU")])
def test_where_nothing_can_be_served_any_more_a_restart_may_help(
    house: House, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def load(_: Path) -> Any:
        raise error

    monkeypatch.setattr(house.model, "_load", load)
    house.model.served.predictor.is_alive = False  # type: ignore[misc]
    with pytest.raises(DaemonError) as end:
        house.service.tick(house.now)
    assert end.value.exit_code == 1  # systemd gives up at 78


def die_of_the_next_batch(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as dying:
        dying.setattr(InlinePredictor, "submit", lambda predictor, *_: died(predictor))
        while house.model.is_alive:
            house.service.tick(house.now)
            house.now += 1


def died(predictor: InlinePredictor) -> Future[ScoredBatch]:
    predictor.is_alive = False
    future: Future[ScoredBatch] = Future()
    future.set_exception(ScoringProcessDied())
    return future


def killed_by(house: House, name: str, times: int = 99) -> Callable[[Path], Any]:
    """Loads all but this checkpoint, which kills the process that is there, so many times."""
    load, kills = house.model._load, []

    def load_or_die(path: Path) -> Any:
        if path.stem == name and len(kills) < times:
            kills.append(path)
            house.model.served.predictor.is_alive = False  # type: ignore[misc]
            raise ScoringProcessDied()
        return load(path)

    return load_or_die


def dying_init(name: str) -> Callable[..., None]:
    begin = InlinePredictor.__init__

    def begin_or_die(predictor: InlinePredictor, path: Path, now: Callable[[], float]) -> None:
        if path.stem == name:
            raise ScoringProcessDied()
        begin(predictor, path, now)

    return begin_or_die


def refuse(*_: object, **__: object) -> None:
    raise LedgerUnavailable("database is locked")


def attempts(house: House) -> list[object]:
    return [row[0] for row in house.ask("SELECT attempts FROM recording ORDER BY id")]


def deaths(house: House) -> object:
    return house.model.figures()["scoring_process_deaths"]


def test_where_no_process_lives_long_enough_to_score_the_daemon_ends(
    house: House, drop: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(house, 30)
    monkeypatch.setattr(InlinePredictor, "submit", lambda predictor, *_: died(predictor))
    with pytest.raises(DaemonError, match="died 6 times without scoring anything"):
        house.live()
    assert [state for _, state in house.rows()].count("pending") >= 29
