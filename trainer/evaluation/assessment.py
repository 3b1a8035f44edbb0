"""Assessment of a network: metrics on held-out recordings, calibrated on other ones.

Axes: R recordings, L labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from classifier.inference.pooling import Scores
from classifier.model.checkpoint import Threshold
from classifier.model.classifier import ClipClassifier
from trainer.data.dataset import Dataset
from trainer.data.examples import true_labels
from trainer.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from trainer.evaluation.calibration import (
    ClipLogits,
    Temperature,
    concatenate,
    cross_fits,
    fit_temperatures,
    parts_by_group,
)
from trainer.evaluation.metrics import (
    Evaluation,
    Truth,
    accuracy,
    clip_logits,
    evaluate,
    ranking_quality,
    with_thresholds,
)
from trainer.evaluation.multi_label import evaluate_sets, exact_matches
from trainer.evaluation.recording_answers import (
    AS_USUAL,
    Answers,
    Marks,
    Serving,
    answers,
    found_labels,
)
from trainer.evaluation.thresholds import Goal, fit_thresholds

NOTHING_CHOSEN = "nothing was chosen on the recordings it is measured on"


@dataclass(frozen=True)
class ClipPredictions:
    """The logits of recordings, and their true labels.

    `positions` (R,) are those of the dataset, `truth` is of the network's labels.
    """

    positions: tuple[int, ...]
    clip_logits: ClipLogits
    truth: Truth


@dataclass(frozen=True)
class Assessment:
    """Answers under temperatures fitted on other recordings, and how good they are.

    What `scores` and `told_scores` are: see `Answers`.

    `temperature` and `thresholds` are those to be served. `uncalibrated` is of the same answers at
    temperature 1. `selection` says of each number what was chosen on the recordings it is measured
    on. `found` (R, L) is of a multi task: the labels at thresholds fitted on other recordings.
    """

    predictions: ClipPredictions
    scores: Scores
    told_scores: Scores
    temperature: Temperature
    evaluation: Evaluation
    uncalibrated: Evaluation
    selection: Mapping[str, str]
    thresholds: Mapping[str, Threshold] = field(default_factory=dict)
    found: Marks | None = None


@dataclass(frozen=True)
class FoldQuality:
    """Of one fold, by a network trained on the others; the average precision of a multi task."""

    accuracy: float
    macro_ap: float | None = None


def fold_quality(told_scores: Scores, truth: Truth, found: Marks | None) -> FoldQuality:
    if found is None:
        return FoldQuality(accuracy(told_scores, truth))
    return FoldQuality(exact_matches(truth, found), ranking_quality(told_scores, truth).macro_ap)


def predict(
    model: ClipClassifier,
    labels: Sequence[str],
    dataset: Dataset,
    positions: Sequence[int],
    batch_size: int,
    process_group: ProcessGroup = SINGLE_PROCESS,
) -> ClipPredictions:
    """What a network with these labels predicts for the recordings at ascending positions (R,).

    Labels are matched by name: the dataset may have fewer, in another order; none that is unknown.
    """
    logits = clip_logits(model, dataset, positions, batch_size, process_group)
    truth = true_labels([dataset.examples[at] for at in positions], labels)
    return ClipPredictions(tuple(positions), logits, truth)


def assess_validation(
    predictions: ClipPredictions,
    labels: tuple[str, ...],
    groups: Sequence[str],
    precision: float | None = None,
) -> Assessment:
    """Assesses one network by its validation recordings, which belong to these groups (R,).

    Each fifth of them is measured under a temperature, and thresholds, fitted on the others.
    `precision` is wanted of the thresholds; None asks for the best F1.
    """
    goal = Goal(precision, "validation")
    return _cross_fitted(predictions, labels, parts_by_group(groups), VALIDATION_SELECTION, goal)


def assess_folds(
    folds: Sequence[ClipPredictions], labels: tuple[str, ...], precision: float | None = None
) -> Assessment:
    """Assesses a recipe by all folds together, each predicted by a network trained without it.

    Each fold is measured under a temperature, and thresholds, fitted on the others.
    """
    pooled = ClipPredictions(
        positions=tuple(at for fold in folds for at in fold.positions),
        clip_logits=concatenate([fold.clip_logits for fold in folds]),
        truth=np.concatenate([fold.truth for fold in folds]),
    )
    parts = [number for number, fold in enumerate(folds) for _ in fold.positions]
    return _cross_fitted(pooled, labels, parts, FOLDS_SELECTION, Goal(precision, "out of fold"))


def assess_as_served(
    predictions: ClipPredictions,
    labels: tuple[str, ...],
    temperature: Temperature,
    serving: Serving,
    selection: Mapping[str, str],
    thresholds: Mapping[str, Threshold],
) -> Assessment:
    """Assesses a checkpoint as it is served and its answers are told."""
    logits = predictions.clip_logits
    given, plain = (answers(logits, each, labels, serving) for each in (temperature, 1.0))
    found = None
    if logits.task == "multi":
        found = found_labels(logits, temperature, labels, thresholds, serving)
    return _assessment(
        predictions, labels, given, plain, temperature, selection, found, thresholds, serving
    )


def _cross_fitted(
    predictions: ClipPredictions,
    labels: tuple[str, ...],
    parts: Sequence[int],
    selection: Mapping[str, str],
    goal: Goal,
) -> Assessment:
    logits, truth = predictions.clip_logits, predictions.truth
    plain, served = answers(logits, 1.0, labels), fit_temperatures(logits, truth)
    scores, told_scores = np.empty_like(plain.scores), np.empty_like(plain.told_scores)
    found = np.zeros(told_scores.shape, np.bool_) if logits.task == "multi" else None
    for is_in, temperature in cross_fits(logits, truth, parts):
        inside, others = logits.subset(is_in), logits.subset(~is_in)
        given = answers(inside, temperature, labels)
        scores[is_in], told_scores[is_in] = given.scores, given.told_scores
        if found is not None:
            of_others = answers(others, temperature, labels).told_scores
            thresholds = fit_thresholds(of_others, truth[~is_in], labels, goal)
            found[is_in] = found_labels(inside, temperature, labels, thresholds)
    if found is not None:
        selection = {**selection, **_of_thresholds(selection)}
    thresholds = fit_thresholds(answers(logits, served, labels).told_scores, truth, labels, goal)
    given = Answers(scores, told_scores)
    return _assessment(predictions, labels, given, plain, served, selection, found, thresholds)


def _assessment(
    predictions: ClipPredictions,
    labels: tuple[str, ...],
    given: Answers,
    plain: Answers,
    temperature: Temperature,
    selection: Mapping[str, str],
    found: Marks | None,
    thresholds: Mapping[str, Threshold],
    serving: Serving = AS_USUAL,
) -> Assessment:
    """`plain` are the answers at temperature 1."""
    truth = predictions.truth
    if found is None:
        evaluation = evaluate(given.scores, truth, labels, given.told_scores)
        uncalibrated = evaluate(plain.scores, truth, labels, plain.told_scores)
    else:
        evaluation = evaluate_sets(given.told_scores, truth, labels, found)
        at_one = found_labels(predictions.clip_logits, 1.0, labels, {}, serving)
        uncalibrated = evaluate_sets(plain.told_scores, truth, labels, at_one)
    return Assessment(
        predictions,
        given.scores,
        given.told_scores,
        temperature,
        with_thresholds(evaluation, thresholds, serving.rules),
        uncalibrated,
        selection,
        thresholds,
        found,
    )


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


def _of_thresholds(selection: Mapping[str, str]) -> dict[str, str]:
    """In a multi task what is found hangs on thresholds; average precision does not."""
    by_folds = "mean_accuracy" in selection
    parts = "the other folds" if by_folds else "other validation recordings"
    found = f"at thresholds fitted on {parts}"
    names = ("mean_accuracy",) if by_folds else ("val_accuracy", "val_macro_f1")
    average = "mean_macro_ap" if by_folds else "val_macro_ap"
    return dict.fromkeys(names, found) | {average: NOTHING_CHOSEN, "thresholds": FITTED_ON_ALL}


FITTED_ON_ALL = "fitted on all held-out recordings; no other number is measured at them"
