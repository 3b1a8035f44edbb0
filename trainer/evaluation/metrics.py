"""Metrics of a network per recording, scored as the daemon scores.

Axes: R recordings, L labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import f1_score, precision_recall_fscore_support

from classifier.inference.pooling import Scores
from classifier.inference.prepare import prepare
from classifier.model.checkpoint import Checkpoint
from classifier.model.classifier import ClipClassifier
from trainer.data.dataset import Dataset
from trainer.evaluation.calibration import ClipLogits

Truth = npt.NDArray[np.int64]

ECE_BINS = 15
CHANCE_DRAWS = 200


@dataclass(frozen=True)
class LabelQuality:
    """Precision and recall of one label; `support` is its number of recordings."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


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
    accuracy equals its confidence.
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
    model: ClipClassifier, dataset: Dataset, positions: Sequence[int], batch_size: int
) -> ClipLogits:
    """The logits of every clip of the recordings at these ascending positions (R,)."""
    model.eval()
    clips = dataset.clips_of(positions)
    batches = [model(dataset.audio(part)).float() for part in torch.split(clips, batch_size)]
    _, numbers = torch.unique_consecutive(dataset.recording[clips], return_inverse=True)
    return ClipLogits(torch.cat(batches).cpu().numpy(), numbers.cpu().numpy())


def score_recordings(
    model: ClipClassifier, dataset: Dataset, positions: Sequence[int], batch_size: int
) -> Scores:
    """Probabilities (R, L) of the recordings at these ascending positions: means over clips."""
    return clip_logits(model, dataset, positions, batch_size).scores(model.temperature)


def evaluate(scores: Scores, truth: Truth, labels: tuple[str, ...]) -> Evaluation:
    """Metrics of scores (R, L) of at least one recording with true labels (R,).

    macro_f1 is the mean over labels that occur in truth or answers, as scikit-learn has it.
    """
    answers = scores.argmax(axis=1)
    every = np.arange(len(labels))
    precision, recall, f1, support = precision_recall_fscore_support(
        truth, answers, labels=every, zero_division=0
    )
    return Evaluation(
        labels=labels,
        n_recordings=len(truth),
        accuracy=accuracy(scores, truth),
        macro_f1=float(f1_score(truth, answers, average="macro", zero_division=0)),
        loss=cross_entropy(scores, truth),
        ece=expected_calibration_error(scores, truth),
        ece_by_chance=calibration_error_by_chance(scores),
        per_label=tuple(
            LabelQuality(label, float(p), float(r), float(f), int(n))
            for label, p, r, f, n in zip(labels, precision, recall, f1, support, strict=True)
        ),
        confusion=tuple(
            (at_truth, at_answer, number)
            for (at_truth, at_answer), number in sorted(
                Counter(zip(truth.tolist(), answers.tolist(), strict=True)).items()
            )
        ),
        reliability=reliability(scores, truth),
    )


def accuracy(scores: Scores, truth: Truth) -> float:
    return float((scores.argmax(axis=1) == truth).mean())


def cross_entropy(scores: Scores, truth: Truth) -> float:
    """Mean negative logarithm, in nats, of the probability given to the true label."""
    given = scores[np.arange(len(truth)), truth].astype(np.float64)
    return float(-np.log(np.maximum(given, np.finfo(np.float32).tiny)).mean())


def expected_calibration_error(scores: Scores, truth: Truth) -> float:
    """Mean distance, over recordings, between confidence and accuracy of their bin."""
    gaps = [
        each.n_recordings * abs(each.confidence - each.accuracy)
        for each in reliability(scores, truth)
    ]
    return sum(gaps) / len(truth)


def calibration_error_by_chance(scores: Scores) -> float:
    """Mean calibration error over draws of who is right, each with the claimed probability.

    Few recordings scatter in their bins: 80 give about 0.1 for a perfectly calibrated network.
    """
    confidence = np.sort(scores.max(axis=1).astype(np.float64))
    right = np.random.RandomState(0).rand(CHANCE_DRAWS, len(confidence)) < confidence
    bins = _equal_bins(len(confidence))
    gaps = [len(at) * abs(confidence[at].mean() - right[:, at].mean(axis=1)) for at in bins]
    return float(np.sum(gaps, axis=0).mean() / len(confidence))


def reliability(scores: Scores, truth: Truth) -> tuple[ReliabilityBin, ...]:
    """Bins of equally many recordings, the least confident first; 15, or one for each recording.

    Nguyen and O'Connor, "Posterior calibration and exploratory analysis for natural language
    processing models" (2015): equal-mass bins do not depend on a few recordings.
    """
    order = scores.max(axis=1).argsort(kind="stable")
    confidence = scores.max(axis=1)[order].astype(np.float64)
    right = (scores.argmax(axis=1) == truth)[order]
    return tuple(
        ReliabilityBin(len(part), float(confidence[part].mean()), float(right[part].mean()))
        for part in _equal_bins(len(truth))
    )


def _equal_bins(n: int) -> list[npt.NDArray[np.int64]]:
    return np.array_split(np.arange(n), min(ECE_BINS, n))
