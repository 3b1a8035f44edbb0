"""A batch is over within seconds, however slow the network, so that a stop need not wait."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from house import House, HouseMaker

from classifier.inference.batching import Clips
from classifier.inference.predictor import ClipAnswers, Predictor
from daemon.pipeline.clip_batches import BATCH_SECONDS, UNTRIED_CLIPS, Pace

CLIP_SECONDS = 1.0  # that the network takes for one


@pytest.fixture
def sizes() -> list[int]:
    """Of the batches that a predictor was given."""
    return []


@pytest.fixture
def slow_house(make_house: HouseMaker, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> House:
    """Its clock goes on while the network works."""
    house = make_house(**{"engine.batch_clips": "64"})
    answer = Predictor.answer

    def slow(predictor: Predictor, clips: Clips, with_embeddings: bool = False) -> ClipAnswers:
        sizes.append(len(clips))
        house.now += CLIP_SECONDS * len(clips)
        return answer(predictor, clips, with_embeddings=with_embeddings)

    monkeypatch.setattr(Predictor, "answer", slow)
    return house


def test_batches_of_a_slow_network_are_as_long_as_a_few_seconds(
    slow_house: House,
    sizes: list[int],
    audio_file: Callable[..., Path],
    noise: Callable[..., np.ndarray],
) -> None:
    slow_house.drop(audio_file("a.wav", noise(60.0, seed=1)), "a.wav")
    slow_house.live(seconds=120)
    assert sizes[0] == UNTRIED_CLIPS
    assert sizes[-1] <= BATCH_SECONDS / CLIP_SECONDS
    assert slow_house.rows() == [("a.wav", "done")]


def test_a_quick_network_has_no_limit_but_what_was_set() -> None:
    pace = Pace()
    pace.note(1, 32, 0.032)
    assert pace.max_clips(1) == 1000 * BATCH_SECONDS


def test_what_is_slower_than_any_batch_may_be_goes_clip_by_clip() -> None:
    pace = Pace()
    pace.note(1, 1, 2 * BATCH_SECONDS)
    assert pace.max_clips(1) == 1


def test_another_checkpoint_may_have_another_pace() -> None:
    pace = Pace()
    pace.note(1, 32, 0.0)
    assert pace.max_clips(2) == UNTRIED_CLIPS
