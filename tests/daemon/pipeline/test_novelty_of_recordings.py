"""The novelty of a recording is that of its clips, from the network to the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from house import House

from classifier.inference.predictor import ClipAnswers, Predictor
from storage.queries.filters import Filters
from storage.queries.result import Result
from storage.queries.results import results
from storage.values.decision import DisplayRules

PER_CLIP = (0.9, 0.1, 0.5, 0.3, 0.7)  # by the number of the clip


@pytest.fixture
def house(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """Its network finds clip 3 surest of a bell."""
    answered = Predictor.answer

    def found(self: Predictor, clips: list[np.ndarray], *more: Any, **named: Any) -> ClipAnswers:
        scores = np.array(answered(self, clips, *more, **named).scores)
        numbers = [round(float(clip.max()) * 10) - 1 for clip in clips]
        scores[:] = [[0.5 + 0.1 * (number == 3), 0.3, 0.2] for number in numbers]
        novelty = np.array([PER_CLIP[number] for number in numbers], np.float32)
        return ClipAnswers(scores, novelty, None)

    house.service.start()
    monkeypatch.setattr(Predictor, "answer", found)
    return house


def answer(house: House, folder: Path, n_clips: int, rules: DisplayRules | None = None) -> Result:
    """Of so many clips of half a second, each as loud as its number."""
    source = folder / "a.wav"
    samples = np.repeat(0.1 * (1 + np.arange(n_clips)), 4000).astype(np.float32)
    soundfile.write(source, samples, 8000, subtype="FLOAT")
    house.drop(source, "a.wav")
    house.live(5)
    with house.ledger.database.transaction() as connection:
        (found,) = results(connection, Filters(rules=rules or DisplayRules()))
    return found


def test_a_short_recording_has_the_mean_of_its_clips(house: House, tmp_path: Path) -> None:
    assert answer(house, tmp_path, 3).novelty == pytest.approx(0.5)


def test_a_long_one_has_that_of_the_clip_surest_of_its_label(house: House, tmp_path: Path) -> None:
    assert answer(house, tmp_path, 5).novelty == pytest.approx(0.3)


def test_what_is_too_novel_is_unknown(house: House, tmp_path: Path) -> None:
    assert answer(house, tmp_path, 3, DisplayRules(novel_above=0.4)).label == "unknown"


def test_the_least_novelty_filters(house: House, tmp_path: Path) -> None:
    answer(house, tmp_path, 3)
    with house.ledger.database.transaction() as connection:
        assert [*results(connection, Filters(min_novelty=0.6))] == []
        assert len([*results(connection, Filters(min_novelty=0.4))]) == 1
