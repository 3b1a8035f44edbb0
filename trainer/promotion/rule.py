"""The promotion rule: whether a new checkpoint becomes the active one.

A candidate is promoted unless it is worse than the active checkpoint by more than chance explains,
on recordings that neither was trained on. Where they cannot be compared it is promoted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from classifier.inference.pooling import Scores
from storage.values.text import listed
from trainer.evaluation.metrics import Truth
from trainer.evaluation.significance import INTERVAL_PERCENT, Comparison

BY_HAND = "`clfd checkpoints activate` serves it all the same"
FEW_GROUPS = 40  # with fewer, a loss of ten points in a hundred is more often missed than noticed
MAX_NAMED = 5
FLAT = 1e-3  # of a probability
ROUNDING = 1e-9


@dataclass(frozen=True)
class Promotion:
    """Whether a checkpoint becomes the active one, and the reason as a sentence."""

    promoted: bool
    reason: str


@dataclass(frozen=True)
class Active:
    """The checkpoint that would be replaced; where it cannot be used, `refusal` says why."""

    name: str
    labels: tuple[str, ...] = ()
    is_starter: bool = False
    refusal: str = ""


class Incomparable(Exception):
    """Why two checkpoints cannot be compared, as a clause for a person to read."""


def find_flaw(told_scores: Scores, truth: Truth, labels: Sequence[str]) -> str | None:
    """What makes a network useless, whatever else there is; None where nothing does.

    What is told (R, L) and the truth are of the recordings that validate or, where none does, of
    those that it was trained on.
    """
    if not np.isfinite(told_scores).all():
        return "its scores are no numbers"
    if truth.ndim == 2:
        is_flat = np.ptp(told_scores, axis=0).max() < FLAT and len(np.unique(truth, axis=0)) > 1
        return "it gives every recording the same scores" if is_flat else None
    answers = np.unique(told_scores.argmax(axis=1))
    if len(answers) == 1 < len(np.unique(truth)):
        return f"it answers {labels[answers[0]]!r} to everything"
    return None


def decide(
    promote: str,
    flaw: str | None,
    labels: Sequence[str],
    active: Active | None,
    allow_label_change: bool,
    compare: Callable[[], Comparison],
) -> Promotion:
    """The rule. `promote` is auto, always or never, `labels` are the candidate's.

    `compare` costs time and is asked only where its answer decides; it may raise Incomparable.
    """
    if promote == "never":
        return Promotion(False, "--promote never")
    if flaw is not None:
        return Promotion(False, f"{flaw}; {BY_HAND}")
    if promote == "always":
        return Promotion(True, "--promote always")
    if active is None:
        return Promotion(True, "no checkpoint was active")
    if active.is_starter:
        return Promotion(True, "the starter checkpoint was active, which makes way for any other")
    if active.refusal:
        return Promotion(True, f"not compared: {active.refusal}")
    return _measure(labels, active, allow_label_change, compare)


def _measure(
    labels: Sequence[str],
    active: Active,
    allow_label_change: bool,
    compare: Callable[[], Comparison],
) -> Promotion:
    lost = [label for label in active.labels if label not in labels]
    if len(lost) == len(active.labels):
        return Promotion(True, f"not compared: {active.name} knows none of its labels")
    if lost and not allow_label_change:
        return Promotion(
            False,
            f"it does not know {listed([*map(repr, lost)], MAX_NAMED)}, as {active.name} does;"
            f" train with --allow-label-change where that is meant; {BY_HAND}",
        )
    without = f"; it no longer knows {listed([*map(repr, lost)], MAX_NAMED)}" if lost else ""
    try:
        comparison = compare()
    except Incomparable as why:
        return Promotion(True, f"not compared: {why}{without}")
    is_worse = comparison.upper < -ROUNDING
    end = f"; {BY_HAND}" if is_worse else without
    return Promotion(not is_worse, _in_words(comparison, active.name) + end)


def _in_words(comparison: Comparison, active: str) -> str:
    its = "over folds its recipe's" if comparison.by_folds else "its"
    lower, upper = _signed(comparison.lower), _signed(comparison.upper)
    n_recordings, n_groups = comparison.n_recordings, comparison.n_groups
    in_groups = f" in {n_groups} groups" if n_groups < n_recordings else ""
    caution = ", though so few recordings would show large differences only"
    return (
        f"{its} {comparison.figure} is {comparison.of_candidate:.3f}, that of {active} "
        f"{comparison.of_active:.3f}, on {n_recordings} recordings{in_groups} of "
        f"{comparison.n_labels} labels that neither was trained on; the "
        f"difference, {_signed(comparison.difference)} ({INTERVAL_PERCENT} % interval {lower} to "
        f"{upper}), is {_conclusion(comparison)}{caution * (n_groups < FEW_GROUPS)}"
    )


def _conclusion(comparison: Comparison) -> str:
    if comparison.upper < -ROUNDING:
        return "a loss beyond the uncertainty"
    if comparison.lower > ROUNDING:
        return "a gain beyond the uncertainty"
    return "within the uncertainty"


def _signed(number: float) -> str:
    return f"{round(number, 3) + 0.0:+.3f}"  # adding zero turns -0.0 into 0.0
