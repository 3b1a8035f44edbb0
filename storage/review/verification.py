"""How often a label is right, by confidence, as people judge it; and the threshold that follows.

Clips are drawn evenly over bins of confidence, so that few sure and many unsure answers are judged
alike; the shares are weighted by how many answers each bin has. The interval of a weighted share is
Wilson's with Kish's effective number ("Survey Sampling", 1965).
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from sqlalchemy import Connection, select, union

from storage.database.tables import human_label, label_mark, recording, recording_label
from storage.review.wilson import BOUND, INTERVAL, wilson_interval
from storage.values.decision import labels_in

N_BINS = 10
NEWEST = 20_000  # answers of the label that are looked through, and stand for all
_DIGITS = 4  # of a threshold
_row, _entry = recording.c, recording_label.c


@dataclass(frozen=True)
class Bin:
    """Answers with a confidence from `low` to `high`, and what people judged of some of them."""

    low: float
    high: float
    n_answers: int
    n_judged: int
    n_right: int

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of the share that is right; None where nothing was judged."""
        return wilson_interval(self.n_right, self.n_judged) if self.n_judged else None


@dataclass(frozen=True)
class Verified:
    """What the judgements say. `low` and `high` are an interval of 95 %.

    Above `threshold`, the share `precision` is right, and in five cases of six at least
    `precision_low`, which is the wanted one or more. None: no threshold reaches it yet.
    """

    bins: tuple[Bin, ...]
    right: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    precision: float | None = None
    precision_low: float | None = None

    @property
    def n_judged(self) -> int:
        return sum(one.n_judged for one in self.bins)


Judgement = tuple[float, bool]  # the confidence, and whether the label is right


def verification_queue(connection: Connection, label: str, n: int, seed: int = 0) -> list[int]:
    """Up to `n` recordings with this label that nobody has labelled, evenly over confidences."""
    rng = random.Random(seed)
    bins: dict[int, list[int]] = defaultdict(list)
    known = _labelled_digests(connection)
    digests = set(known)
    for number, confidence, digest in _answers(connection, label):
        if digest not in digests:  # of copies one is judged
            digests.add(digest)
            bins[_bin_of(confidence)].append(number)
    for numbers in bins.values():
        rng.shuffle(numbers)
    turns = zip_longest(*(bins[at] for at in sorted(bins)))
    return [number for turn in turns for number in turn if number is not None][:n]


def verified(connection: Connection, label: str, precision: float) -> Verified:
    """What people judged of this label so far: by `clfd labels verify`, or on the page."""
    answers = _answers(connection, label)
    judged = _judged(connection, label)
    confidences = {digest: confidence for _, confidence, digest in answers if digest in judged}
    judgements = [(confidence, judged[digest]) for digest, confidence in confidences.items()]
    n_answers = Counter(_bin_of(confidence) for _, confidence, _ in answers)
    return threshold_for(judgements, n_answers, precision)


def threshold_for(
    judgements: Sequence[Judgement], n_answers: Counter[int], precision: float
) -> Verified:
    """The lowest threshold above which the wanted share is right; `n_answers` by bin."""
    n_judged, n_right = Counter[int](), Counter[int]()
    for confidence, is_right in judgements:
        n_judged[_bin_of(confidence)] += 1
        n_right[_bin_of(confidence)] += is_right
    bins = tuple(
        Bin(at / N_BINS, (at + 1) / N_BINS, n_answers[at], n_judged[at], n_right[at])
        for at in range(N_BINS)
    )
    if not judgements:
        return Verified(bins)
    weighted = [
        (confidence, is_right, max(1, n_answers[at]) / n_judged[at])
        for confidence, is_right in sorted(judgements, reverse=True)
        for at in [_bin_of(confidence)]
    ]
    best: tuple[float, float, float] | None = None
    right, low, high = 0.0, 0.0, 1.0
    total = hits = squares = 0.0
    for at, (confidence, is_right, weight) in enumerate(weighted):
        total, hits, squares = total + weight, hits + weight * is_right, squares + weight**2
        right, effective = hits / total, total**2 / squares
        is_cut = at + 1 == len(weighted) or weighted[at + 1][0] < confidence
        bound, _ = wilson_interval(right * effective, effective, BOUND)
        if is_cut and bound >= precision:
            best = confidence, right, bound
        low, high = wilson_interval(right * effective, effective, INTERVAL)
    if best is None:
        return Verified(bins, right, low, high)
    least = math.floor(best[0] * 10**_DIGITS) / 10**_DIGITS
    return Verified(bins, right, low, high, least, best[1], best[2])


def _bin_of(confidence: float) -> int:
    return min(N_BINS - 1, int(confidence * N_BINS))


def _answers(connection: Connection, label: str) -> list[tuple[int, float, str]]:
    """Recording, confidence and digest of the newest answers that may tell the label."""
    query = (
        select(_row.id, _entry.probability, _row.digest)
        .join(recording_label, _entry.recording_id == _row.id)
        .where(_entry.label == label, _entry.probability.is_not(None), _row.state == "done")
        .order_by(_entry.answered_at.desc())
        .with_hint(recording, "NOT INDEXED", "sqlite")
    )
    return [(row[0], row[1], row[2]) for row in connection.execute(query.limit(NEWEST))]


def _labelled_digests(connection: Connection) -> set[str]:
    return {*connection.scalars(union(select(human_label.c.digest), select(label_mark.c.digest)))}


def _judged(connection: Connection, label: str) -> dict[str, bool]:
    """By digest, whether the label is right; what somebody was unsure of is not among them."""
    labelled, mark = human_label.c, label_mark.c
    given = select(labelled.digest, labelled.label).where(labelled.way == "verified")
    judged = {digest: label in labels_in(text) for digest, text in connection.execute(given)}
    denied = select(mark.digest).where(
        mark.kind == "not", mark.label == label, mark.way == "verified"
    )
    return judged | dict.fromkeys(connection.scalars(denied), False)
