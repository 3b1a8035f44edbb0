"""Assessment of a network: metrics on held-out recordings, calibrated on other ones.

Axes: R recordings, L labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from classifier.inference.pooling import Scores
from classifier.model.classifier import ClipClassifier
from trainer.data.dataset import Dataset
from trainer.evaluation.calibration import (
    ClipLogits,
    concatenate,
    cross_fitted_scores,
    fit_temperature,
    parts_by_group,
)
from trainer.evaluation.metrics import Evaluation, Truth, clip_logits, evaluate

NOTHING_CHOSEN = "nothing was chosen on the recordings it is measured on"


@dataclass(frozen=True)
class ClipPredictions:
    """The logits of recordings, and their true labels.

    `positions` (R,) are those of the dataset, `truth` (R,) is an index into the network's labels.
    """

    positions: tuple[int, ...]
    clip_logits: ClipLogits
    truth: Truth


@dataclass(frozen=True)
class Assessment:
    """Scores (R, L) under temperatures fitted on other recordings, and how good they are.

    `temperature` is the one to be served. `uncalibrated` is of the same answers at temperature 1.
    `selection` says of each number what was chosen on the recordings it is measured on.
    """

    predictions: ClipPredictions
    scores: Scores
    temperature: float
    evaluation: Evaluation
    uncalibrated: Evaluation
    selection: Mapping[str, str]


def predict(
    model: ClipClassifier,
    labels: Sequence[str],
    dataset: Dataset,
    positions: Sequence[int],
    batch_size: int,
) -> ClipPredictions:
    """What a network with these labels predicts for the recordings at ascending positions (R,).

    Labels are matched by name: the dataset may have fewer, in another order; none that is unknown.
    """
    logits = clip_logits(model, dataset, positions, batch_size)
    index = {label: at for at, label in enumerate(labels)}
    truth = np.array([index[dataset.examples[at].label] for at in positions], np.int64)
    return ClipPredictions(tuple(positions), logits, truth)


def assess_validation(
    predictions: ClipPredictions, labels: tuple[str, ...], groups: Sequence[str]
) -> Assessment:
    """Assesses one network by its validation recordings, which belong to these groups (R,).

    Each fifth of them is measured under a temperature fitted on the others.
    """
    return _cross_fitted(predictions, labels, parts_by_group(groups), VALIDATION_SELECTION)


def assess_folds(folds: Sequence[ClipPredictions], labels: tuple[str, ...]) -> Assessment:
    """Assesses a recipe by all folds together, each predicted by a network trained without it.

    Each fold is measured under a temperature fitted on the others.
    """
    pooled = ClipPredictions(
        positions=tuple(at for fold in folds for at in fold.positions),
        clip_logits=concatenate([fold.clip_logits for fold in folds]),
        truth=np.concatenate([fold.truth for fold in folds]),
    )
    parts = [number for number, fold in enumerate(folds) for _ in fold.positions]
    return _cross_fitted(pooled, labels, parts, FOLDS_SELECTION)


def assess_as_served(
    predictions: ClipPredictions,
    labels: tuple[str, ...],
    temperature: float,
    pooling: str,
    selection: Mapping[str, str],
) -> Assessment:
    """Assesses a checkpoint by the temperature and the pooling with which it is served."""
    scores = predictions.clip_logits.scores(temperature, pooling)
    return _assessment(predictions, labels, scores, temperature, selection, pooling)


def _cross_fitted(
    predictions: ClipPredictions,
    labels: tuple[str, ...],
    parts: Sequence[int],
    selection: Mapping[str, str],
) -> Assessment:
    logits, truth = predictions.clip_logits, predictions.truth
    scores = cross_fitted_scores(logits, truth, parts)
    return _assessment(predictions, labels, scores, fit_temperature(logits, truth), selection)


def _assessment(
    predictions: ClipPredictions,
    labels: tuple[str, ...],
    scores: Scores,
    temperature: float,
    selection: Mapping[str, str],
    pooling: str = "mean",
) -> Assessment:
    truth, plain = predictions.truth, predictions.clip_logits.scores(1.0, pooling)
    evaluations = evaluate(scores, truth, labels), evaluate(plain, truth, labels)
    return Assessment(predictions, scores, temperature, *evaluations, selection)


FIXED = {
    "epochs": "fixed beforehand; the last epoch is kept, whatever the others measured",
    "recipe": "fixed beforehand, unless a person chose it by numbers like these",
}

VALIDATION_SELECTION = {
    **FIXED,
    "val_accuracy": NOTHING_CHOSEN,
    "val_macro_f1": NOTHING_CHOSEN,
    "val_loss": "under temperatures fitted on other validation recordings, in five parts by group",
    "ece": "under temperatures fitted on other validation recordings, in five parts by group",
    "ece_before": NOTHING_CHOSEN,
    "temperature": "fitted on all validation recordings; no other number is measured under it",
}

FOLDS_SELECTION = {
    **FIXED,
    "mean_accuracy": "each fold by a network trained on the others; " + NOTHING_CHOSEN,
    "ece": "each fold under a temperature fitted on the other folds",
    "ece_before": NOTHING_CHOSEN,
    "temperature": "fitted on all folds as they were heard by networks trained without them; "
    "no other number is measured under it",
}

NO_SELECTION = {
    **FIXED,
    "temperature": "1, not fitted: nothing was held out",
}
