"""Thresholds: from which probability on a label is told, chosen on held-out recordings.

Axes: R recordings, L labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from classifier.inference.pooling import Scores
from classifier.model.checkpoint import Threshold
from storage.review.wilson import BOUND, wilson_interval
from storage.values.decision import FLOOR
from trainer.evaluation.metrics import Confidence, Truth
from trainer.evaluation.recording_answers import NOT_TOLD, Marks

MIN_EXAMPLES = 5  # of a label; what fewer say of it is chance


@dataclass(frozen=True)
class Goal:
    """A wanted precision, or None for the best F1; `rests_on` names the held-out recordings."""

    precision: float | None = None
    rests_on: Literal["out of fold", "validation"] = "validation"


def fit_thresholds(
    told_scores: Scores, truth: Truth, labels: Sequence[str], goal: Goal
) -> dict[str, Threshold]:
    """A threshold for each label for which enough was held out, by what is told (see `Answers`).

    In a single task (`truth` (R,)) there are thresholds only for a wanted precision.
    """
    floor, bears = FLOOR, truth
    if truth.ndim == 1:
        if goal.precision is None:
            return {}
        floor, bears = 0.0, truth[:, None] == np.arange(len(labels))
    found = {
        label: _fit(told_scores[:, at], bears[:, at], goal, floor)
        for at, label in enumerate(labels)
    }
    return {label: threshold for label, threshold in found.items() if threshold}


def _fit(told_scores: Confidence, bears: Marks, goal: Goal, floor: float) -> Threshold | None:
    """The lowest threshold of the wanted precision, or that of the best F1; None of too few.

    Below the floor nothing is told.
    """
    n_examples = int(bears.sum())
    if n_examples < MIN_EXAMPLES:
        return None
    order = np.argsort(-told_scores, kind="stable")
    ranked = told_scores[order].astype(np.float64)
    hits, n_found = np.cumsum(bears[order]), np.arange(1, len(ranked) + 1)
    # A threshold lies between two different scores, and none is below the floor.
    is_cut = (np.diff(ranked, append=NOT_TOLD) < 0) & (ranked >= floor)
    if not is_cut.any():
        return None
    low, _ = wilson_interval(hits, n_found, BOUND)
    if goal.precision is None:
        merit = np.where(is_cut, 2 * hits / (n_found + n_examples), -1.0)
        at = int(merit.argmax())
    else:
        good = np.flatnonzero(is_cut & (low >= goal.precision))
        if not len(good):
            return None
        at = int(good[-1])
    below = max(ranked[at + 1], floor) if at + 1 < len(ranked) else floor
    return Threshold(
        threshold=_between(below, ranked[at]),
        precision=round(float(hits[at] / n_found[at]), 4),
        precision_low=round(float(low[at]), 4),
        recall=round(float(hits[at] / n_examples), 4),
        n_examples=n_examples,
        n_found=int(n_found[at]),
        rests_on=goal.rests_on,
    )


def _between(below: float, above: float) -> float:
    """A short number above the one and not above the other."""
    middle = (below + above) / 2
    short = float(f"{middle:.4g}")
    return short if below < short <= above else middle
