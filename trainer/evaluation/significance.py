"""Two networks on the same recordings: how far apart they are, and how sure that is.

They are compared by macro-F1 or, in a multi task, by macro average precision.

The uncertainty is a paired bootstrap (Efron and Tibshirani, "An Introduction to the Bootstrap",
1993): recordings are drawn with replacement, the same ones for both networks, as many as there
are, and the difference is taken anew each time. Whole groups are drawn: relatives err together.

Axes: D draws, P patterns, R recordings, L labels. Answers are names, never positions: two networks
may know other labels, in another order.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from classifier.inference.pooling import Scores

Numbers = npt.NDArray[np.float64]
Pattern = tuple[tuple[str, str, str], ...]  # truth and both answers, of all members of a group

DRAWS = 2000  # puts the ends of the interval within about a fiftieth of its width
CELLS_AT_ONCE = 2**22  # of draws times recordings
INTERVAL_PERCENT = 90
NO_ANSWER = ""  # no label is empty


@dataclass(frozen=True)
class Comparison:
    """A figure of both networks, and the interval of the difference, candidate minus active.

    `by_folds`: the candidate's answers are those of its recipe's networks in cross-validation.
    """

    of_candidate: float
    of_active: float
    lower: float
    upper: float
    n_recordings: int
    n_groups: int
    n_labels: int
    by_folds: bool = False
    figure: str = "macro-F1"

    @property
    def difference(self) -> float:
        return self.of_candidate - self.of_active


def answers_from(scores: Scores, labels: Sequence[str]) -> list[str]:
    """The most probable label of each row (R, L); NO_ANSWER where a score is no number."""
    return [labels[row.argmax()] if np.isfinite(row).all() else NO_ANSWER for row in scores]


def compare_answers(
    truth: Sequence[str],
    candidate: Sequence[str],
    active: Sequence[str],
    groups: Sequence[str],
) -> Comparison:
    """Compares the answers to the same recordings, at least one; nothing hangs on their order.

    Macro-F1 is the mean over the labels that occur in `truth`. Any other answer is simply wrong.
    """
    labels = sorted(set(truth))
    patterns = group_patterns(truth, candidate, active, groups)
    counts, tallies = np.array(list(patterns.values())), _tallies(list(patterns), labels)
    of_candidate, of_active = _macro_f1(counts[None], tallies)
    difference_of = np.subtract(*_macro_f1(_draws(counts), tallies))
    tail = (100 - INTERVAL_PERCENT) / 2
    lower, upper = np.percentile(difference_of, (tail, 100 - tail))
    return Comparison(
        of_candidate=of_candidate.item(),
        of_active=of_active.item(),
        lower=float(lower),
        upper=float(upper),
        n_recordings=len(truth),
        n_groups=patterns.total(),
        n_labels=len(labels),
    )


def compare_rankings(
    bears: npt.NDArray[np.bool_], candidate: Scores, active: Scores, groups: Sequence[str]
) -> Comparison:
    """Compares scores of the same recordings for the same labels, all (R, L).

    Macro average precision is the mean over the labels that a recording, or all of those drawn,
    bear.
    """
    _, group_of = np.unique(groups, return_inverse=True)
    n_groups = group_of.max() + 1
    random = np.random.Generator(np.random.PCG64(0))
    draws = random.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=DRAWS)
    differences = []
    for part in np.array_split(draws, 1 + DRAWS * len(bears) // CELLS_AT_ONCE):
        counts = part[:, group_of]
        of_both = (_macro_ap(bears, scores, counts) for scores in (candidate, active))
        differences.append(np.subtract(*of_both))
    every = np.ones((1, len(bears)), np.int64)
    tail = (100 - INTERVAL_PERCENT) / 2
    lower, upper = np.nanpercentile(np.concatenate(differences), (tail, 100 - tail))
    return Comparison(
        of_candidate=_macro_ap(bears, candidate, every).item(),
        of_active=_macro_ap(bears, active, every).item(),
        lower=float(lower),
        upper=float(upper),
        n_recordings=len(bears),
        n_groups=int(n_groups),
        n_labels=int(bears.any(axis=0).sum()),
        figure="macro average precision",
    )


def _macro_ap(
    bears: npt.NDArray[np.bool_], scores: Scores, counts: npt.NDArray[np.int64]
) -> Numbers:
    """(D,), each recording counted so often (D, R); of like scores all are found together."""
    total, n_labels = np.zeros(len(counts)), np.zeros(len(counts))
    for is_label, of_label in zip(bears.T, scores.T, strict=True):
        order = np.argsort(-of_label, kind="stable")
        ranked, number = of_label[order], counts[:, order]
        hits = np.cumsum(number * is_label[order], axis=1)
        last = np.searchsorted(-ranked, -ranked, side="right") - 1
        precision = hits[:, last] / np.maximum(np.cumsum(number, axis=1)[:, last], 1)
        n_bearing = hits[:, -1]
        gained = (precision * number * is_label[order]).sum(axis=1)
        total += gained / np.maximum(n_bearing, 1)
        n_labels += n_bearing > 0
    with np.errstate(invalid="ignore"):  # of a draw without any label
        return total / n_labels


def group_patterns(
    truth: Sequence[str], candidate: Sequence[str], active: Sequence[str], groups: Sequence[str]
) -> Counter[Pattern]:
    """How many groups there are of each pattern, in an order of their own.

    Groups of one pattern count alike and are drawn together, which makes ten thousand recordings
    a matter of some hundred patterns.
    """
    members: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for group, recording in zip(groups, zip(truth, candidate, active, strict=True), strict=True):
        members[group].append(recording)
    return Counter(sorted(tuple(sorted(recordings)) for recordings in members.values()))


def _tallies(patterns: Sequence[Pattern], labels: Sequence[str]) -> Numbers:
    """What a group of each pattern adds (P, 5, L): truths, then hits and calls of both networks."""
    column = {label: at for at, label in enumerate(labels)}
    tallies = np.zeros((len(patterns), 5, len(labels)))
    for tally, pattern in zip(tallies, patterns, strict=True):
        for truth, *answers in pattern:
            tally[0, column[truth]] += 1
            for network, answer in enumerate(answers):
                if answer in column:
                    tally[1 + network, column[answer]] += answer == truth
                    tally[3 + network, column[answer]] += 1
    return tallies


def _draws(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How often each pattern is drawn (D, P), where as many groups are drawn as there are."""
    n_groups = counts.sum()
    random = np.random.Generator(np.random.PCG64(0))  # the same files give the same interval
    return random.multinomial(n_groups, counts / n_groups, size=DRAWS)


def _macro_f1(counts: npt.NDArray[np.int64], tallies: Numbers) -> Numbers:
    """Of both networks (2, D), each pattern counted so often (D, P); over labels with a truth."""
    sums = np.einsum("dp,pkl->kdl", counts.astype(np.float64), tallies, optimize=True)
    truths, hits, calls = sums[0], sums[1:3], sums[3:5]
    f1: Numbers = 2 * hits / np.maximum(truths + calls, 1)
    occurs = truths > 0
    mean: Numbers = (f1 * occurs).sum(axis=-1) / occurs.sum(axis=-1)
    return mean
