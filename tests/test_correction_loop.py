"""What people correct is what the next checkpoint learns from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result
from house import House

from storage.commands.context import Invocation
from storage.commands.labels import labels
from storage.settings.loading import load_settings
from trainer.data.labels import read_labels

AT_NIGHT = "20260131_233000.wav"


@pytest.fixture
def answered(
    make_house: Callable[..., House], noise: Callable[..., np.ndarray], tmp_path: Path
) -> House:
    """Three recordings that were heard."""
    house = make_house()
    for seed, name in enumerate(("a.wav", "b c.wav", AT_NIGHT)):
        source = tmp_path / name
        soundfile.write(source, noise(1.0, seed=seed), 8000)
        house.drop(source, name)
    house.service.start()
    house.live(5)
    return house


def ask(house: House, *words: object) -> Result:
    printed = [str(word) for word in words]
    invocation = Invocation(house.home.root)
    return CliRunner().invoke(labels, printed, obj=invocation, catch_exceptions=False)


def test_the_export_is_what_training_takes(answered: House, tmp_path: Path) -> None:
    ask(answered, "set", "a.wav", "rain")
    ask(answered, "set", "b c.wav", "café, noir", "--start", 0.25, "--end", 0.75)
    ask(answered, "set", AT_NIGHT, "rain")
    exported = tmp_path / "mine.csv"
    ask(answered, "export", "-o", exported)
    suffixes = load_settings(answered.home, environ={}).intake.suffixes
    examples = {
        example.path.name: (example.label, example.start_seconds, example.end_seconds)
        for example in read_labels(exported, suffixes).examples
    }
    assert examples == {
        "a.wav": ("rain", 0.0, np.inf),
        "b c.wav": ("café, noir", 0.25, 0.75),
        AT_NIGHT: ("rain", 0.0, np.inf),
    }


def test_a_recording_that_was_heard_tells_when_it_began_and_how_loud_it_is(
    answered: House,
) -> None:
    found = answered.ask(
        "SELECT recorded_at, rms_dbfs < 0, peak_dbfs >= rms_dbfs, channels FROM recording"
        f" WHERE path_text = '{AT_NIGHT}'"
    )
    assert found == [("2026-01-31T23:30:00", 1, 1, 1)]


def test_a_copy_of_a_long_recording_is_as_loud_as_that(
    make_house: Callable[..., House], noise: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    house = make_house()
    source = tmp_path / "a.wav"
    soundfile.write(source, np.concatenate([noise(120.0) * 0.01, noise(5.0)]), 8000)
    house.drop(source, "a.wav")
    house.service.start()
    house.live(20)
    house.drop(source, "b.wav")
    house.live(20)
    (first, second) = house.ask("SELECT peak_dbfs, rms_dbfs FROM recording ORDER BY id")
    assert first == second
