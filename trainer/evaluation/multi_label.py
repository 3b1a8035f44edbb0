"""Metrics of a multi task: each label of each recording is a question of its own.

Axes: R recordings, L labels.
"""

from __future__ import annotations

import numpy as np
from sklearn.metrics import precision_recall_fscore_support

from classifier.inference.pooling import Scores
from storage.values.decision import MULTI_THRESHOLD
from trainer.evaluation.metrics import (
    Evaluation,
    Truth,
    calibration_error_by_chance,
    expected_calibration_error,
    label_qualities,
    ranking_quality,
    reliability,
)
from trainer.evaluation.recording_answers import Marks


def evaluate_sets(
    scores: Scores, truth: Truth, labels: tuple[str, ...], found: Marks
) -> Evaluation:
    """Metrics of scores, truth and the labels that were `found`, all (R, L).

    accuracy: share of recordings of which exactly the right labels were found. macro_f1: mean over
    the labels that occur. loss: binary cross entropy, the mean over labels. Calibration is that of
    all R x L probabilities. Nothing is taken for anything else: there is no confusion.
    """
    figures = precision_recall_fscore_support(truth, found, average=None, zero_division=0)
    occurs = truth.any(axis=0) | found.any(axis=0)
    probability, is_true = scores.ravel(), truth.ravel()
    ranking = ranking_quality(scores, truth)
    return Evaluation(
        labels=labels,
        n_recordings=len(truth),
        accuracy=exact_matches(truth, found),
        macro_f1=float(figures[2][occurs].mean()) if occurs.any() else 0.0,
        loss=binary_cross_entropy(scores, truth),
        ece=expected_calibration_error(probability, is_true),
        ece_by_chance=calibration_error_by_chance(probability),
        per_label=label_qualities(labels, figures, ranking),
        confusion=(),
        reliability=reliability(probability, is_true),
        macro_ap=ranking.macro_ap,
        macro_auc=ranking.macro_auc,
        task="multi",
    )


def exact_matches(truth: Truth, found: Marks) -> float:
    return float((truth == found).all(axis=1).mean())


def binary_cross_entropy(scores: Scores, truth: Truth) -> float:
    """Mean negative logarithm, in nats, of the probability given to what is so of each label."""
    given = np.where(truth, scores, 1 - scores.astype(np.float64))
    return float(-np.log(np.maximum(given, np.finfo(np.float32).tiny)).mean())


def validate_sets(scores: Scores, truth: Truth) -> tuple[float, float, float | None]:
    """After an epoch: loss, exact matches at even odds, and macro average precision."""
    quality = ranking_quality(scores, truth)
    loss, found = binary_cross_entropy(scores, truth), scores >= MULTI_THRESHOLD
    return loss, exact_matches(truth, found), quality.macro_ap
