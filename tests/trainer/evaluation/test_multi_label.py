"""Several labels at once: each one is ranked, calibrated and counted by itself."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score

from trainer.evaluation.assessment import ClipPredictions, assess_validation
from trainer.evaluation.calibration import ClipLogits, fit_temperatures
from trainer.evaluation.multi_label import evaluate_sets
from trainer.evaluation.significance import compare_rankings

LABELS = ("rain", "wind", "owl")
SCORES = np.array([[0.9, 0.8, 0.1], [0.6, 0.2, 0.2], [0.3, 0.7, 0.1], [0.1, 0.1, 0.3]], np.float32)
TRUTH = np.array([[1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]], bool)


def boastful(n: int, factor: float) -> tuple[ClipLogits, np.ndarray]:
    """Logits (R, 2) of a network whose second label is surer than right by a factor."""
    rng = np.random.RandomState(0)
    honest = 3 * rng.randn(n, 2)
    truth = rng.rand(n, 2) < 1 / (1 + np.exp(-honest))
    logits = (honest * [1, factor]).astype(np.float32)
    return ClipLogits(logits, np.arange(n), "multi"), truth


def test_exactly_the_right_labels_are_an_accurate_answer() -> None:
    found = SCORES >= 0.5
    assert evaluate_sets(SCORES, TRUTH, LABELS, found).accuracy == 0.5  # the first and the last
    assert evaluate_sets(SCORES, TRUTH, LABELS, TRUTH).accuracy == 1.0


def test_average_precision_is_the_mean_over_labels_that_occur() -> None:
    evaluation = evaluate_sets(SCORES, TRUTH, LABELS, SCORES >= 0.5)
    expected = [average_precision_score(TRUTH[:, at], SCORES[:, at]) for at in range(2)]
    assert evaluation.macro_ap == np.mean(expected)
    assert [each.average_precision for each in evaluation.per_label] == [*expected, None]


def test_each_label_has_a_temperature_of_its_own() -> None:
    honest, boasting = fit_temperatures(*boastful(2000, 4.0))
    assert 0.85 < honest < 1.15
    assert 3.4 < boasting < 4.6


def test_held_out_recordings_are_calibrated_by_others() -> None:
    logits, truth = boastful(1000, 4.0)
    predictions = ClipPredictions(tuple(range(1000)), logits, truth)
    groups = [str(at) for at in range(1000)]
    assessment = assess_validation(predictions, LABELS[:2], groups)
    assert assessment.evaluation.ece < assessment.uncalibrated.ece / 2
    assert assessment.found is not None
    assert set(assessment.thresholds) == set(LABELS[:2])
    assert assessment.selection["val_accuracy"] == (
        "at thresholds fitted on other validation recordings"
    )


def test_the_better_ranking_wins_beyond_the_uncertainty() -> None:
    rng = np.random.RandomState(0)
    truth = rng.rand(300, 2) < 0.3
    good, poor = (truth + spread * rng.randn(300, 2) for spread in (0.3, 1.0))
    groups = [str(at // 2) for at in range(300)]
    comparison = compare_rankings(truth, good, poor, groups)
    expected = np.mean([average_precision_score(truth[:, at], good[:, at]) for at in range(2)])
    assert np.isclose(comparison.of_candidate, expected)
    assert comparison.lower > 0
    assert comparison.figure == "macro average precision"
    equal = compare_rankings(truth, good, good, groups)
    assert equal.lower == equal.upper == 0
