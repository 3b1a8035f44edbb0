"""How often a label is right, by confidence, as people judge it; and the threshold that follows.

Clips are drawn evenly over bins of confidence, so that few sure and many unsure answers are judged
alike; the shares are weighted by how many answers each bin has. Answers that people had labelled
before are not drawn: they stand for themselves, or corrections would leave the right ones only. The
interval of a weighted share is Wilson's with Kish's effective number ("Survey Sampling", 1965).
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

from sqlalchemy import Connection, or_, select, union

from storage.database.tables import human_label, label_mark, recording, recording_label
from storage.review.wilson import BOUND, INTERVAL, wilson_interval
from storage.values.decision import labels_in

N_BINS = 10
NEWEST = 20_000  # answers of the label that are looked through, and stand for all
_DIGITS = 4  # of a threshold
_row, _entry = recording.c, recording_label.c
_human, _mark = human_label.c, label_mark.c


@dataclass(frozen=True)
class Bin:
    """Answers with a confidence from `low` to `high`, and what was judged of those drawn."""

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


class Judgement(NamedTuple):
    """Whether the label is right; what was not drawn was labelled before."""

    confidence: float
    is_right: bool
    is_drawn: bool = True


def verification_queue(connection: Connection, label: str, n: int, seed: int = 0) -> list[int]:
    """Up to `n` recordings with this label of which nobody has said anything, but in bulk.

    They take turns between the bins of confidence.
    """
    rng = random.Random(seed)
    bins: dict[int, list[int]] = defaultdict(list)
    digests = _labelled_digests(connection)
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
    judgements = [Judgement(confidence, *judged[one]) for one, confidence in confidences.items()]
    n_answers = Counter(_bin_of(confidence) for _, confidence, _ in answers)
    return threshold_for(judgements, n_answers, precision)


def threshold_for(
    judgements: Sequence[Judgement], n_answers: Counter[int], precision: float
) -> Verified:
    """The lowest threshold above which the wanted share is right; `n_answers` by bin.

    No threshold lies below a bin of whose answers nobody has judged any.
    """
    drawn = [one for one in judgements if one.is_drawn]
    n_known = Counter(_bin_of(one.confidence) for one in judgements if not one.is_drawn)
    n_judged = Counter(_bin_of(one.confidence) for one in drawn)
    n_right = Counter(_bin_of(one.confidence) for one in drawn if one.is_right)
    bins = tuple(
        Bin(at / N_BINS, (at + 1) / N_BINS, n_answers[at], n_judged[at], n_right[at])
        for at in range(N_BINS)
    )
    if not drawn:
        return Verified(bins)
    unknown = [at for at in range(N_BINS) if n_answers[at] > n_known[at] and not n_judged[at]]
    best: tuple[float, float, float] | None = None
    right, low, high = 0.0, 0.0, 1.0
    total = hits = squares = 0.0
    ranked = sorted(judgements, reverse=True)
    for place, one in enumerate(ranked, 1):
        at = _bin_of(one.confidence)
        weight = max(1, n_answers[at] - n_known[at]) / n_judged[at] if one.is_drawn else 1.0
        total, hits, squares = total + weight, hits + weight * one.is_right, squares + weight**2
        right, effective = hits / total, total**2 / squares
        is_cut = place == len(ranked) or ranked[place].confidence < one.confidence
        bound, _ = wilson_interval(right * effective, effective, BOUND)
        if is_cut and bound >= precision and not any(other >= at for other in unknown):
            best = one.confidence, right, bound
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
    """In bulk nobody looked at what was labelled."""
    given = select(_human.digest).where(or_(_human.way.is_(None), _human.way != "bulk"))
    return {*connection.scalars(union(given, select(_mark.digest)))}


def _judged(connection: Connection, label: str) -> dict[str, tuple[bool, bool]]:
    """By digest, whether the label is right, and whether it was drawn.

    What somebody was unsure of is not among them, nor a part that bears another label, unless it
    was drawn.
    """
    given = select(_human.digest, _human.label, _human.way, _human.start_s + _human.end_s)
    given = given.where(or_(_human.way.is_(None), _human.way != "bulk"))
    judged: dict[str, tuple[bool, bool]] = {}
    for digest, text, way, place in connection.execute(given):
        is_right, is_drawn = label in labels_in(text), way == "verified"
        if is_right or is_drawn or not place:
            earlier = judged.get(digest, (False, False))
            judged[digest] = is_right or earlier[0], is_drawn or earlier[1]
    denied = select(_mark.digest, _mark.way).where(_mark.kind == "not", _mark.label == label)
    for digest, way in connection.execute(denied):
        judged.setdefault(digest, (False, way == "verified"))
    return judged
