"""Temperature: confidence that means what it says, also where little can be known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from classifier.inference.pooling import pool_scores
from trainer.evaluation.calibration import (
    MAX_TEMPERATURE,
    ClipLogits,
    concatenate,
    cross_fits,
    fit_temperature,
    parts_by_group,
)
from trainer.evaluation.metrics import cross_entropy, expected_calibration_error

LABELS = 10


def overconfident(n: int, factor: float, seed: int = 0) -> tuple[ClipLogits, np.ndarray]:
    """Recordings of one clip whose logits are `factor` times what the labels were drawn by."""
    random = np.random.RandomState(seed)
    honest = random.randn(n, LABELS)
    honest[np.arange(n), random.randint(0, LABELS, n)] += random.gamma(3, 1.5, n)
    chances = softmax(honest)
    truth = np.array([random.choice(LABELS, p=row) for row in chances])
    return ClipLogits((factor * honest).astype(np.float32), np.arange(n)), truth


def parted(n: int, margin: float) -> tuple[ClipLogits, np.ndarray]:
    """Recordings that are all answered rightly, by this margin."""
    truth = np.arange(n) % 3
    return ClipLogits((margin * np.eye(3)[truth]).astype(np.float32), np.arange(n)), truth


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_clips_are_pooled_as_the_daemon_pools_them(pooling: str) -> None:
    logits = np.random.RandomState(0).randn(6, 4).astype(np.float32)
    scores = ClipLogits(logits, np.array([0, 1, 1, 1, 2, 2])).scores(2.5, pooling)
    clips = softmax(logits / 2.5).astype(np.float32)
    served = [pool_scores(clips[part], pooling) for part in (slice(1), slice(1, 4), slice(4, 6))]
    assert np.allclose(scores, served, atol=1e-6)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_is_found_from_which_labels_were_drawn(factor: float) -> None:
    assert fit_temperature(*overconfident(3000, factor)) == pytest.approx(factor, rel=0.1)


def test_the_loss_of_whole_recordings_is_what_is_minimised() -> None:
    clips, truth = overconfident(400, 3.0)
    pairs = ClipLogits(clips.logits, clips.recording // 2)
    fitted = fit_temperature(pairs, truth[::2])
    losses = [
        cross_entropy(pairs.scores(factor * fitted), truth[::2]) for factor in (0.8, 1.0, 1.25)
    ]
    assert min(losses) == losses[1]


@pytest.mark.parametrize("n", [2, 10, 80])
def test_recordings_that_are_all_right_vouch_for_no_certainty(n: int) -> None:
    message, truth = parted(n, margin=12.0)
    confidence = message.scores(fit_temperature(message, truth)).max(axis=1).mean()
    assert 0.5 < confidence <= (n + 1) / (n + 2) + 1e-3


def test_a_margin_beyond_all_measure_still_gives_a_number() -> None:
    assert fit_temperature(*parted(5, margin=1e4)) == pytest.approx(MAX_TEMPERATURE)


def test_one_error_in_three_moves_the_temperature_little() -> None:
    message, truth = parted(3, margin=4.0)
    truth = np.array([1, *truth[1:]])
    assert 1 < fit_temperature(message, truth) < 4  # likelihood alone says 6


@pytest.mark.parametrize("logits", [np.empty((0, 3)), np.array([[np.nan, 1, 2]])])
def test_without_valid_logits_the_temperature_stays_at_one(logits: np.ndarray) -> None:
    message = ClipLogits(logits.astype(np.float32), np.arange(len(logits)))
    assert fit_temperature(message, np.zeros(len(logits), int)) == 1.0


def cross_fitted(message: ClipLogits, truth: np.ndarray, parts: Sequence[int]) -> np.ndarray:
    scores = np.empty_like(message.logits)
    for is_in, temperature in cross_fits(message, truth, parts):
        scores[is_in] = message.subset(is_in).scores(temperature)
    return scores


def test_an_answer_is_measured_by_a_temperature_that_never_saw_it() -> None:
    message, truth = overconfident(60, 3.0)
    parts = np.arange(60) % 3
    other_truth = np.where(parts == 0, (truth + 1) % LABELS, truth)
    scores = cross_fitted(message, truth, parts)
    other_scores = cross_fitted(message, other_truth, parts)
    assert (scores[parts == 0] == other_scores[parts == 0]).all()
    assert (scores[parts == 1] != other_scores[parts == 1]).any()


def test_it_makes_the_calibration_error_small_where_it_was_great() -> None:
    message, truth = overconfident(400, 3.0)
    scores = cross_fitted(message, truth, np.arange(400) % 5)
    before, after = (
        expected_calibration_error(each.max(axis=1), each.argmax(axis=1) == truth)
        for each in (message.scores(1.0), scores)
    )
    assert after < before / 2


def test_with_a_single_part_nothing_is_fitted() -> None:
    message, truth = overconfident(20, 3.0)
    assert (cross_fitted(message, truth, [0] * 20) == message.scores(1.0)).all()


def test_relatives_are_in_one_part_whatever_their_order() -> None:
    groups = [f"g{at // 2}" for at in range(40)]
    parts = parts_by_group(groups)
    assert parts[0::2] == parts[1::2]
    assert sorted(map(parts.count, range(5))) == [8] * 5
    assert parts_by_group(groups[::-1]) == parts[::-1]


def test_folds_are_put_together_without_mixing_their_recordings() -> None:
    random = np.random.RandomState(0)
    folds = [
        ClipLogits(random.randn(len(recording), 3).astype(np.float32), np.array(recording))
        for recording in ([0, 0, 1], [0, 1, 1, 2])
    ]
    apart = np.concatenate([fold.scores(2.0) for fold in folds])
    assert np.allclose(concatenate(folds).scores(2.0), apart)
