"""Answers of held-out recordings, as the daemon gives them and results tell them.

Axes: R recordings, N clips, L labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from classifier.inference.pooling import Scores
from classifier.model.checkpoint import Threshold
from storage.values.decision import LONG_CLIPS, DisplayRules
from storage.values.findings import candidates_of, decide_scores, surest_label
from trainer.evaluation.calibration import ClipLogits, Temperature

Marks = npt.NDArray[np.bool_]

NOT_TOLD = -1.0


@dataclass(frozen=True)
class Serving:
    """How recordings are answered, by settings of the daemon and of results."""

    pooling: str = "mean"
    long_clips: int = LONG_CLIPS
    rules: DisplayRules = field(default_factory=DisplayRules)


AS_USUAL = Serving()


@dataclass(frozen=True)
class Answers:
    """The scores (R, L) of recordings, and by which probability each label is told of them.

    `told_scores` (R, L) has in a single task the answer alone, NOT_TOLD for other labels. In a
    multi task both are the same.
    """

    scores: Scores
    told_scores: Scores


def answers(
    clip_logits: ClipLogits,
    temperature: Temperature,
    labels: Sequence[str],
    serving: Serving = AS_USUAL,
) -> Answers:
    """Short recordings are told by their scores; one by one they would take 70 us each."""
    task, every = clip_logits.task, np.arange(len(labels))
    scores = clip_logits.scores(temperature, serving.pooling)
    told_scores, best = scores.copy(), scores.argmax(axis=1)
    n_clips = np.bincount(clip_logits.recording)
    if (n_clips > serving.long_clips).any():
        for at, (pooled, clips) in enumerate(_recordings(clip_logits, scores, temperature)):
            if len(clips) > serving.long_clips:
                candidates = candidates_of(task, pooled, clips, serving.long_clips)
                told_scores[at] = candidates.probabilities
                best[at] = surest_label(task, labels, candidates)
    if task == "multi":
        return Answers(told_scores, told_scores)
    return Answers(scores, np.where(best[:, None] == every, told_scores, np.float32(NOT_TOLD)))


def found_labels(
    clip_logits: ClipLogits,
    temperature: Temperature,
    labels: Sequence[str],
    thresholds: Mapping[str, Threshold],
    serving: Serving = AS_USUAL,
) -> Marks:
    """Which labels are told of each recording (R, L)."""
    own = {label: each.threshold for label, each in thresholds.items()}
    task, rules, long_clips = clip_logits.task, serving.rules, serving.long_clips
    scores = clip_logits.scores(temperature, serving.pooling)
    found = np.zeros(scores.shape, np.bool_)
    for row, (pooled, clips) in zip(
        found, _recordings(clip_logits, scores, temperature), strict=True
    ):
        decision = decide_scores(task, labels, pooled, clips, own, rules, long_clips)
        row[[labels.index(label) for label, _ in decision.labels]] = True
    return found


def _recordings(
    clip_logits: ClipLogits, scores: Scores, temperature: Temperature
) -> Iterator[tuple[Scores, Scores]]:
    """Of each recording its scores (L,) and those of its clips."""
    clips = clip_logits.probabilities(temperature).astype(np.float32)
    return zip(scores, np.split(clips, clip_logits.starts[1:]), strict=True)
