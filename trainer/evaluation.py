"""How good a network is, per recording, as serving would answer.

Axes: R recordings, L labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

from classifier.clip_classifier import ClipClassifier
from classifier.predictor import Scores, pool_scores
from trainer.dataset import Dataset

Truth = npt.NDArray[np.int64]

ECE_BINS = 15


@dataclass(frozen=True)
class LabelQuality:
    """Of one label: how much of what was called so is so, how much was found, in `support`."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Evaluation:
    """`confusion` counts recordings (L, L): rows are the truth, columns the answer."""

    labels: tuple[str, ...]
    n_recordings: int
    accuracy: float
    macro_f1: float
    loss: float
    ece: float
    per_label: tuple[LabelQuality, ...]
    confusion: tuple[tuple[int, ...], ...]


@torch.inference_mode()
def score_recordings(
    model: ClipClassifier, dataset: Dataset, positions: Sequence[int], batch_size: int
) -> Scores:
    """Probabilities (R, L) of the recordings at these ascending positions: means over clips."""
    if not positions:
        return np.empty((0, len(dataset.labels)), np.float32)
    model.eval()
    clips = dataset.clips_of(positions)
    batches = [model.scores(dataset.audio(part)) for part in torch.split(clips, batch_size)]
    clip_scores = torch.cat(batches).cpu().numpy()
    counts = torch.bincount(dataset.recording[clips]).cpu().numpy()
    ends = np.cumsum([0, *counts[list(positions)]])
    pooled = [pool_scores(clip_scores[begin:end], "mean") for begin, end in pairwise(ends)]
    return np.stack(pooled)


def evaluate(scores: Scores, truth: Truth, labels: tuple[str, ...]) -> Evaluation:
    """Judges scores (R, L) of at least one recording by their true labels (R,).

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
        per_label=tuple(
            LabelQuality(label, float(p), float(r), float(f), int(n))
            for label, p, r, f, n in zip(labels, precision, recall, f1, support, strict=True)
        ),
        confusion=tuple(
            tuple(row) for row in confusion_matrix(truth, answers, labels=every).tolist()
        ),
    )


def accuracy(scores: Scores, truth: Truth) -> float:
    return float((scores.argmax(axis=1) == truth).mean())


def cross_entropy(scores: Scores, truth: Truth) -> float:
    """Mean negative logarithm, in nats, of the probability given to the true label."""
    given = scores[np.arange(len(truth)), truth].astype(np.float64)
    return float(-np.log(np.maximum(given, np.finfo(np.float32).tiny)).mean())


def expected_calibration_error(scores: Scores, truth: Truth) -> float:
    """Distance between confidence and accuracy over bins of equally many recordings.

    Nguyen and O'Connor, "Posterior calibration and exploratory analysis for natural language
    processing models" (2015): equal-mass bins do not hang on a few recordings.
    """
    order = scores.max(axis=1).argsort(kind="stable")
    confidence = scores.max(axis=1)[order].astype(np.float64)
    right = (scores.argmax(axis=1) == truth)[order]
    bins = np.array_split(np.arange(len(truth)), min(ECE_BINS, len(truth)))
    gaps = [len(part) * abs(confidence[part].mean() - right[part].mean()) for part in bins]
    return float(sum(gaps) / len(truth))
