"""A rescore under other settings changes the answers; under the same ones it has nothing to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from house import House

from storage.commands.context import Invocation
from storage.commands.rescore import rescore
from storage.ledger.tallies import tally_errors

ANSWERS = "SELECT path_text, state, label, confidence, prediction_id FROM recording ORDER BY id"
Houses = Callable[..., House]


@pytest.fixture
def sound(audio_file: Callable[..., Path], noise: Callable[..., np.ndarray]) -> Path:
    """Clips that are told apart: half a second of noise, and a second of next to nothing."""
    return audio_file("sound.wav", np.concatenate([noise(0.5), noise(1.0) * 1e-4]))


@pytest.fixture
def mean(make_house: Houses, sound: Path) -> House:
    """A recording and a copy of it, answered with the mean of their clips."""
    house = make_house()
    for name in ("a.wav", "yard/copy.wav"):
        house.drop(sound, name)
        house.live()
    return house


def ask(house: House, monkeypatch: pytest.MonkeyPatch, pooling: str, *words: str) -> str:
    """`clfd rescore`, where the settings file says so."""
    monkeypatch.setenv("CLFD_ENGINE__CLIP_POOLING", pooling)
    done = CliRunner().invoke(rescore, words, obj=Invocation(house.home.root))
    assert done.exit_code == 0, done.output
    return done.stderr


def answers(house: House) -> Sequence[tuple[object, ...]]:
    assert list(tally_errors(house.ledger.database)) == []
    return house.ask(ANSWERS)


def under_max(house: House, make_house: Houses) -> House:
    """The daemon after a restart, which reads the new setting, and has done its work."""
    house.close()
    restarted = make_house(**{"engine.clip_pooling": "max"})
    restarted.live()
    return restarted


def test_what_is_answered_under_the_same_settings_is_left_alone_and_told(
    mean: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(mean, monkeypatch, "mean") == (
        "nothing to do: 2 answered by the active checkpoint under the same settings\n"
    )
    assert mean.ledger.counts()["queued"] == 0


def test_another_pooling_changes_the_answers_and_those_of_copies(
    mean: House, make_house: Houses, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = answers(mean)
    assert ask(mean, monkeypatch, "max") == "queued 2 again\n"
    after = answers(house := under_max(mean, make_house))
    assert [row[:2] for row in after] == [("a.wav", "done"), ("yard/copy.wav", "done")]
    assert after[0][3] != before[0][3]
    assert after[0][2:] == after[1][2:]
    assert house.ask("SELECT scoring FROM prediction") == [("max/mean/0",)]
    assert ask(house, monkeypatch, "max").startswith("nothing to do: 2 answered")


def test_a_copy_that_nobody_asked_for_keeps_no_answer_that_is_gone(
    mean: House, make_house: Houses, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(mean, monkeypatch, "max", "--path", "a.wav") == "queued 1 again\n"
    recording, copy = answers(under_max(mean, make_house))
    assert recording[2:] == copy[2:]


def test_of_a_copy_alone_the_recording_keeps_its_answer(
    mean: House, make_house: Houses, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = answers(mean)
    ask(mean, monkeypatch, "max", "--path", "yard/*")
    recording, copy = answers(under_max(mean, make_house))
    assert recording == before[0]
    assert copy[3] != recording[3]


def test_a_copy_that_comes_later_shares_the_answer_whatever_the_settings(
    mean: House, make_house: Houses, sound: Path
) -> None:
    house = under_max(mean, make_house)
    house.drop(sound, "later.wav")
    house.live()
    first, _, later = answers(house)
    assert first[2:] == later[2:]


def test_other_settings_are_for_recordings_that_begin_after_them(house: House, sound: Path) -> None:
    house.begin_to_decode(sound)
    house.window.change_settings(house.settings.engine.model_copy(update={"clip_pooling": "max"}))
    house.drop(sound, "b.wav")
    house.live()
    first, copy = house.ask("SELECT label, confidence FROM recording ORDER BY id")
    assert first == copy
    assert house.ask("SELECT scoring FROM prediction") == [("mean/mean/0",)]


def test_a_dry_run_and_a_second_call_say_what_waits(
    mean: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask(mean, monkeypatch, "max", "--dry-run") == "would queue 2 again\n"
    ask(mean, monkeypatch, "max", "--path", "a.wav")
    left = ask(mean, monkeypatch, "max")
    assert left == "queued 1 again; left out: 1 in the queue already\n"
    assert ask(mean, monkeypatch, "max") == "nothing to do: 2 in the queue already\n"
