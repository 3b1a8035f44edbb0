"""Metrics of a network per recording, scored as the daemon scores.

Axes: R recordings, L labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    precision_recall_fscore_support,
    roc_auc_score,
)

from classifier.inference.pooling import Scores
from classifier.inference.prepare import prepare
from classifier.model.checkpoint import Checkpoint, Threshold
from classifier.model.classifier import ClipClassifier, Task
from storage.values.decision import DisplayRules
from trainer.data.dataset import Dataset
from trainer.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from trainer.evaluation.calibration import ClipLogits, Temperature
from trainer.evaluation.recording_answers import Answers, Marks, answers

# (R,) positions of labels; of a multi task (R, L), whether a recording bears each label.
Truth = npt.NDArray[Any]
Confidence = npt.NDArray[np.floating[Any]]

ECE_BINS = 15
CHANCE_DRAWS = 200


@dataclass(frozen=True)
class LabelQuality:
    """Precision and recall of one label; `support` is its number of recordings.

    average_precision and roc_auc need no threshold: they are of its probability, over all
    recordings, and None where all or none bear the label. `threshold` is the one that is served.
    """

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    average_precision: float | None = None
    roc_auc: float | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class ReliabilityBin:
    """Recordings of like confidence: the mean confidence, and the share of right answers."""

    n_recordings: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Evaluation:
    """`confusion` counts recordings by the positions of truth and answer, those that occur.

    `ece_by_chance` is the calibration error to expect, on as many recordings, of a network whose
    accuracy equals its confidence. `macro_ap` and `macro_auc` are means over the labels that have
    one, None without any. What the figures of a multi task are: see `evaluate_sets`.
    """

    labels: tuple[str, ...]
    n_recordings: int
    accuracy: float
    macro_f1: float
    loss: float
    ece: float
    ece_by_chance: float
    per_label: tuple[LabelQuality, ...]
    confusion: tuple[tuple[int, int, int], ...]
    reliability: tuple[ReliabilityBin, ...]
    macro_ap: float | None = None
    macro_auc: float | None = None
    task: Task = "single"

    def confusion_matrix(self) -> npt.NDArray[np.int64]:
        """Counts (L, L): rows are the truth, columns the answer."""
        counts = np.zeros((len(self.labels), len(self.labels)), np.int64)
        truth, answer, number = np.array(self.confusion).T
        counts[truth, answer] = number
        return counts


def served_model(checkpoint: Checkpoint, device: torch.device) -> ClipClassifier:
    """The network on the device.

    Raises CheckpointError where it would not be served there, DeviceBusyError where not now.
    """
    prepare(checkpoint, device)
    return on_device(checkpoint.build(), device)


def on_device(model: ClipClassifier, device: torch.device) -> ClipClassifier:
    model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model.to(device)


@torch.inference_mode()
def clip_logits(
    model: ClipClassifier,
    dataset: Dataset,
    positions: Sequence[int],
    batch_size: int,
    process_group: ProcessGroup = SINGLE_PROCESS,
) -> ClipLogits:
    """The logits of every clip of the recordings at these ascending positions (R,)."""
    model.eval()
    clips = dataset.clips_of(positions)
    logits = process_group.over_batches(
        lambda part: model(dataset.audio(part)).float(), torch.split(clips, batch_size)
    )
    _, numbers = torch.unique_consecutive(dataset.recording[clips], return_inverse=True)
    return ClipLogits(logits.cpu().numpy(), numbers.cpu().numpy(), model.task)


def temperature_of(model: ClipClassifier) -> Temperature:
    if model.task == "multi":
        return model.label_temperatures.cpu().double().numpy()
    return model.temperature


def answer_recordings(
    model: ClipClassifier,
    labels: Sequence[str],
    dataset: Dataset,
    positions: Sequence[int],
    batch_size: int,
    process_group: ProcessGroup = SINGLE_PROCESS,
) -> Answers:
    """What a network with these labels answers to the recordings at ascending positions (R,)."""
    logits = clip_logits(model, dataset, positions, batch_size, process_group)
    return answers(logits, temperature_of(model), labels)


def evaluate(
    scores: Scores, truth: Truth, labels: tuple[str, ...], told_scores: Scores | None = None
) -> Evaluation:
    """Metrics of scores (R, L) of at least one recording with true labels (R,).

    `told_scores` are the answers (see `Answers`); None: the most probable labels.

    macro_f1 is the mean over labels that occur in truth or answers, as scikit-learn has it.
    """
    told_scores = scores if told_scores is None else told_scores
    given = told_scores.argmax(axis=1)
    every = np.arange(len(labels))
    figures = precision_recall_fscore_support(truth, given, labels=every, zero_division=0)
    confidence, is_right = told_scores.max(axis=1), given == truth
    ranking = ranking_quality(scores, truth[:, None] == every)
    return Evaluation(
        labels=labels,
        n_recordings=len(truth),
        accuracy=accuracy(told_scores, truth),
        macro_f1=float(f1_score(truth, given, average="macro", zero_division=0)),
        loss=cross_entropy(scores, truth),
        ece=expected_calibration_error(confidence, is_right),
        ece_by_chance=calibration_error_by_chance(confidence),
        per_label=label_qualities(labels, figures, ranking),
        confusion=tuple(
            (at_truth, at_answer, number)
            for (at_truth, at_answer), number in sorted(
                Counter(zip(truth.tolist(), given.tolist(), strict=True)).items()
            )
        ),
        reliability=reliability(confidence, is_right),
        macro_ap=ranking.macro_ap,
        macro_auc=ranking.macro_auc,
    )


@dataclass(frozen=True)
class RankingQuality:
    """Of each label, how far its recordings stand above the others by its probability."""

    average_precision: tuple[float | None, ...]
    roc_auc: tuple[float | None, ...]

    @property
    def macro_ap(self) -> float | None:
        return _mean(self.average_precision)

    @property
    def macro_auc(self) -> float | None:
        return _mean(self.roc_auc)


def ranking_quality(scores: Scores, bears: npt.NDArray[np.bool_]) -> RankingQuality:
    """Of scores (R, L) and whether each recording bears each label (R, L)."""

    def is_measured(at: int) -> bool:
        n_bearing = int(bears[:, at].sum())
        return 0 < n_bearing < len(bears) and bool(np.isfinite(scores[:, at]).all())

    def of_labels(measure: Any) -> tuple[float | None, ...]:
        return tuple(
            float(measure(bears[:, at], scores[:, at])) if is_measured(at) else None
            for at in range(bears.shape[1])
        )

    return RankingQuality(of_labels(average_precision_score), of_labels(roc_auc_score))


def label_qualities(
    labels: Sequence[str], figures: Sequence[Any], ranking: RankingQuality
) -> tuple[LabelQuality, ...]:
    """`figures` are precision, recall, F1 and support, each (L,)."""
    by_label = zip(*figures, ranking.average_precision, ranking.roc_auc, strict=True)
    return tuple(
        LabelQuality(label, float(p), float(r), float(f), int(n), ap, auc)
        for label, (p, r, f, n, ap, auc) in zip(labels, by_label, strict=True)
    )


def with_thresholds(
    evaluation: Evaluation, thresholds: Mapping[str, Threshold], rules: DisplayRules
) -> Evaluation:
    """The same figures beside the thresholds that are served."""
    own = {label: each.threshold for label, each in thresholds.items()}
    served = own | dict(rules.thresholds)
    per_label = [replace(each, threshold=served.get(each.label)) for each in evaluation.per_label]
    return replace(evaluation, per_label=tuple(per_label))


def _mean(figures: Sequence[float | None]) -> float | None:
    known = [figure for figure in figures if figure is not None]
    return sum(known) / len(known) if known else None


def accuracy(told_scores: Scores, truth: Truth) -> float:
    return float((told_scores.argmax(axis=1) == truth).mean())


def cross_entropy(scores: Scores, truth: Truth) -> float:
    """Mean negative logarithm, in nats, of the probability given to the true label."""
    given = scores[np.arange(len(truth)), truth].astype(np.float64)
    return float(-np.log(np.maximum(given, np.finfo(np.float32).tiny)).mean())


def expected_calibration_error(confidence: Confidence, is_right: Marks) -> float:
    """Mean distance, over recordings, between confidence and accuracy of their bin."""
    gaps = [
        each.n_recordings * abs(each.confidence - each.accuracy)
        for each in reliability(confidence, is_right)
    ]
    return sum(gaps) / len(is_right)


def calibration_error_by_chance(confidence: Confidence) -> float:
    """Mean calibration error over draws of who is right, each with the claimed probability.

    Few recordings scatter in their bins: 80 give about 0.1 for a perfectly calibrated network.
    """
    confidence = np.sort(confidence.astype(np.float64))
    right = np.random.RandomState(0).rand(CHANCE_DRAWS, len(confidence)) < confidence
    bins = _equal_bins(len(confidence))
    gaps = [len(at) * abs(confidence[at].mean() - right[:, at].mean(axis=1)) for at in bins]
    return float(np.sum(gaps, axis=0).mean() / len(confidence))


def reliability(confidence: Confidence, is_right: Marks) -> tuple[ReliabilityBin, ...]:
    """Bins of equally many recordings, the least confident first; 15, or one for each recording.

    Nguyen and O'Connor, "Posterior calibration and exploratory analysis for natural language
    processing models" (2015): equal-mass bins do not depend on a few recordings.
    """
    order = confidence.argsort(kind="stable")
    confidence, right = confidence[order].astype(np.float64), is_right[order]
    return tuple(
        ReliabilityBin(len(part), float(confidence[part].mean()), float(right[part].mean()))
        for part in _equal_bins(len(right))
    )


def _equal_bins(n: int) -> list[npt.NDArray[np.int64]]:
    return np.array_split(np.arange(n), min(ECE_BINS, n))
