"""A threshold is a promise about sounds that nobody has heard yet."""

from __future__ import annotations

import numpy as np
import pytest

from storage.values.decision import FLOOR
from trainer.evaluation.recording_answers import NOT_TOLD
from trainer.evaluation.thresholds import MIN_EXAMPLES, Goal, fit_thresholds

LABELS = ("rain", "wind")
FOR_PRECISION = Goal(0.9)


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated scores (R, 2): each label is there as often as its score says."""
    rng = np.random.RandomState(seed)
    scores = rng.rand(n, 2).astype(np.float32)
    return scores, rng.rand(n, 2) < scores


def test_a_threshold_for_a_precision_keeps_it_on_other_recordings() -> None:
    kept = []
    for seed in range(40):
        thresholds = fit_thresholds(*drawn(300, seed), LABELS, FOR_PRECISION)
        scores, truth = drawn(20_000, 1000 + seed)
        for label, threshold in thresholds.items():
            at = LABELS.index(label)
            kept.append(truth[scores[:, at] >= threshold.threshold, at].mean())
    assert len(kept) > 70
    assert 0.89 < np.mean(kept) < 0.95
    assert np.mean(np.array(kept) < 0.87) < 0.05


def test_without_a_precision_it_is_that_of_the_best_f1() -> None:
    scores, truth = drawn(5000, 0)
    threshold = fit_thresholds(scores, truth, LABELS, Goal())["rain"].threshold

    def f1(least: float) -> float:
        found = scores[:, 0] >= least
        return 2 * (found & truth[:, 0]).sum() / (found.sum() + truth[:, 0].sum())

    assert f1(threshold) >= max(f1(least) for least in np.linspace(0, 1, 101))


def test_it_says_what_it_rests_on() -> None:
    scores, truth = drawn(500, 0)
    wind = fit_thresholds(scores, truth, LABELS, Goal(0.8, "out of fold"))["wind"]
    found = scores[:, 1] >= wind.threshold
    assert (wind.n_found, wind.n_examples) == (found.sum(), truth[:, 1].sum())
    assert wind.precision == pytest.approx(truth[found, 1].mean(), abs=1e-4)
    assert wind.recall == pytest.approx(found[truth[:, 1]].mean(), abs=1e-4)
    assert wind.precision_low >= 0.8
    assert wind.rests_on == "out of fold"


def test_too_few_examples_promise_nothing() -> None:
    truth = np.zeros((100, 2), bool)
    truth[: MIN_EXAMPLES - 1, 0] = truth[:MIN_EXAMPLES, 1] = True
    scores = np.where(truth, 0.9, 0.1)
    assert set(fit_thresholds(scores, truth, LABELS, Goal())) == {"wind"}
    assert fit_thresholds(scores, truth, LABELS, FOR_PRECISION) == {}  # five of five prove little


def test_no_threshold_lies_below_the_floor_of_what_is_told() -> None:
    truth = np.repeat([[True, True], [False, True]], 20, axis=0)
    told = np.where(truth, [0.06, FLOOR / 2], FLOOR / 2)
    thresholds = fit_thresholds(told, truth, LABELS, Goal())
    assert set(thresholds) == {"rain"}
    assert FLOOR < thresholds["rain"].threshold <= 0.06


def test_a_single_task_has_thresholds_only_for_a_precision_and_of_its_answers() -> None:
    scores = np.tile([[0.9, NOT_TOLD], [NOT_TOLD, 0.8]], (50, 1)).astype(np.float32)
    truth = np.tile([0, 1], 50)
    assert fit_thresholds(scores, truth, LABELS, Goal()) == {}
    rain = fit_thresholds(scores, truth, LABELS, FOR_PRECISION)["rain"]
    assert (rain.n_found, rain.precision) == (50, 1.0)
    assert 0 < rain.threshold <= 0.9
