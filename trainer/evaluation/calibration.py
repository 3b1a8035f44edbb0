"""Calibration: one temperature per network or label, so that confidence matches accuracy.

Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks" (2017), fitted here to
what is served: the mean over a recording's clips of softmax(logits / temperature). In a multi task
each label is a question of its own, and has a temperature of its own.

Axes: R recordings, N clips, L labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit

from classifier.inference.pooling import Scores
from classifier.model.classifier import Task
from storage.values.text import text_digest

Integers = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float64]
Temperature = float | Probabilities  # (L,) in a multi task

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
PARTS = 5


@dataclass(frozen=True)
class ClipLogits:
    """The logits of every clip of R recordings.

    `recording` ascends from 0 to R - 1 without a gap.
    """

    logits: npt.NDArray[np.float32]  # (N, L)
    recording: Integers  # (N,)
    task: Task = "single"

    @property
    def n_recordings(self) -> int:
        return len(np.unique(self.recording))

    def scores(self, temperature: Temperature, pooling: str = "mean") -> Scores:
        """Probabilities (R, L), pooled as the daemon does: the mean, or the maximum."""
        clips = self.probabilities(temperature)
        if pooling == "mean":
            return self.means(clips).astype(np.float32)
        peaks = np.maximum.reduceat(clips, self.starts)
        total = 1.0 if self.task == "multi" else peaks.sum(axis=1, keepdims=True)
        return (peaks / total).astype(np.float32)

    def probabilities(self, temperature: Temperature) -> Probabilities:
        """Softmax, or in a multi task sigmoid, of the logits over the temperature (N, L)."""
        scaled = self.logits.astype(np.float64) / temperature
        if self.task == "multi":
            return expit(scaled)  # type: ignore[no-any-return]
        with np.errstate(invalid="ignore"):  # infinite logits become NaN, which promotion refuses
            powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]

    def means(self, clips: Probabilities) -> Probabilities:
        """Means over the clips of each recording: (N, ...) to (R, ...)."""
        counts = np.diff(self.starts, append=len(clips))
        return np.add.reduceat(clips, self.starts) / counts[:, None]

    def subset(self, recordings: npt.NDArray[np.bool_]) -> ClipLogits:
        """Those of the recordings that are marked in (R,), numbered anew."""
        kept = recordings[self.recording]
        numbers = np.cumsum(recordings) - 1
        return replace(self, logits=self.logits[kept], recording=numbers[self.recording[kept]])

    def of_label(self, at: int) -> ClipLogits:
        """Whether one label is there as a choice between two: yes or no.

        The sigmoid of a logit is the softmax of it beside a logit of 0.
        """
        yes = self.logits[:, at]
        return ClipLogits(np.stack([yes, np.zeros_like(yes)], axis=1), self.recording)

    @property
    def starts(self) -> Integers:
        """The first clip of each recording (R,)."""
        return np.flatnonzero(np.diff(self.recording, prepend=-1))


def concatenate(several: Sequence[ClipLogits]) -> ClipLogits:
    """The recordings of all of them, one after the other."""
    starts = np.cumsum([0, *(each.n_recordings for each in several[:-1])])
    return ClipLogits(
        np.concatenate([each.logits for each in several]),
        np.concatenate([each.recording + at for each, at in zip(several, starts, strict=True)]),
        several[0].task,
    )


def fit_temperatures(clip_logits: ClipLogits, truth: npt.NDArray[Any]) -> Temperature:
    """The temperature of a single task; of a multi task, with truth (R, L), one for each label."""
    if clip_logits.task == "single":
        return fit_temperature(clip_logits, truth)
    bears = truth.T.astype(bool)
    fitted = [
        fit_temperature(clip_logits.of_label(at), np.where(is_label, 0, 1))
        for at, is_label in enumerate(bears)
    ]
    return np.array(fitted)


def fit_temperature(clip_logits: ClipLogits, truth: Integers) -> float:
    """The temperature under which the labels (R,) of held-out recordings are most likely.

    Two things keep small sets from claiming too much. A prior of one standard deviation for each
    factor of e, which counts as much as a recording or so: one error in three recordings says
    little. And a ceiling: N recordings, all of them right, vouch for a mean confidence of
    (N + 1) / (N + 2) (Laplace's rule of succession) and not for the certainty to which likelihood
    drives labels that are cleanly separated. Without a recording, or where a logit is no number,
    it is 1.
    """
    n = clip_logits.n_recordings
    if n == 0 or not np.isfinite(clip_logits.logits).all():
        return 1.0
    true_logit = np.arange(len(clip_logits.logits)), truth[clip_logits.recording]

    def negative_log_posterior(log_temperature: float) -> float:
        clips = clip_logits.probabilities(math.exp(log_temperature))
        likely = clip_logits.means(clips[true_logit][:, None])
        losses = -np.log(np.maximum(likely, np.finfo(np.float64).tiny))
        return float(losses.sum() + log_temperature**2 / 2)

    bounds = math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE)
    likeliest = minimize_scalar(negative_log_posterior, bounds=bounds, method="bounded").x
    return math.exp(_limit_confidence(clip_logits, float(likeliest), ceiling=(n + 1) / (n + 2)))


def cross_fits(
    clip_logits: ClipLogits, truth: npt.NDArray[Any], parts: Sequence[int]
) -> list[tuple[npt.NDArray[np.bool_], Temperature]]:
    """Of each part which recordings are in it (R,), and the temperature fitted on the others.

    `parts` (R,) are the folds, or those of `parts_by_group`. With a single part there is nothing to
    fit on, and the temperature is 1.
    """
    part_of = np.asarray(parts)
    masks = [part_of == part for part in np.unique(part_of)]
    return [(is_in, fit_temperatures(clip_logits.subset(~is_in), truth[~is_in])) for is_in in masks]


def parts_by_group(groups: Sequence[str]) -> list[int]:
    """A part from 0 to 4 for each recording; those of one group are in the same one.

    Groups are dealt out in the order of their hashes: parts of like size, and no randomness.
    """
    by_hash = sorted(set(groups), key=text_digest)
    part_of = {group: at % PARTS for at, group in enumerate(by_hash)}
    return [part_of[group] for group in groups]


def _limit_confidence(clip_logits: ClipLogits, log_temperature: float, ceiling: float) -> float:
    """The lowest temperature, from this one up, at which mean confidence is within the ceiling."""

    def excess(log_temperature: float) -> float:
        scores = clip_logits.scores(math.exp(log_temperature))
        return float(scores.max(axis=1).mean(dtype=np.float64)) - ceiling

    highest = math.log(MAX_TEMPERATURE)
    if excess(log_temperature) <= 0:
        return log_temperature
    return highest if excess(highest) > 0 else float(brentq(excess, log_temperature, highest))
