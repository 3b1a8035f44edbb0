"""Which recordings are most worth listening to.

Three reasons, taken in turns: the answer is unsure (least confident first, Lewis and Gale 1994),
checkpoints disagree (query by committee, Seung et al. 1992), or its label is rare. Within each,
folders take turns as well, so that no site has them all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from sqlalchemy import Connection, Select, and_, case, func, select

from storage.database.tables import (
    human_label,
    inbox,
    label_mark,
    prediction,
    recording,
    recording_label,
    tally,
)
from storage.ledger.tallies import folder_of
from storage.queries.filters import CONFIDENCE, by_index

_PER_REASON = 20  # candidates for each that is asked for
_NEWEST = 200_000  # recordings that are looked through for disagreement, a second of work
_LABELLED_SHARE = 0.5
_row = recording.c
_COLUMNS = (_row.digest, inbox.c.path_text, _row.path, _row.path_text, _row.label, _row.confidence)
_human, _mark = human_label.c, label_mark.c
# Of which a person labelled neither the whole nor half of it: a part tells little of a long one.
_seconds = case((_human.end_s > 0, _human.end_s), else_=_row.duration_s) - _human.start_s
_labelled_s = select(func.coalesce(func.sum(_seconds), 0)).where(_human.digest == _row.digest)
_marked_s = case((_mark.end_s > 0, _mark.end_s), else_=_row.duration_s) - _mark.start_s
# Of which nobody is unsure, nor said that it is not this, of as much.
_marked = select(_mark.digest).where(
    _mark.digest == _row.digest,
    _mark.label.in_(("", _row.label)),
    _marked_s >= _LABELLED_SHARE * _row.duration_s,
)
_IS_OPEN = and_(
    _row.state == "done",
    _labelled_s.correlate(recording).scalar_subquery() < _LABELLED_SHARE * _row.duration_s,
    ~_marked.correlate(recording).exists(),
)


@dataclass(frozen=True)
class Suggestion:
    path: str
    inbox: str
    label: str
    confidence: float
    reason: str
    digest: str
    folder: str


def suggestions(connection: Connection, number: int) -> list[Suggestion]:
    """Up to so many, the most worthwhile first; nothing twice, nor what was labelled."""
    most = number * _PER_REASON
    unsure = by_index(_open(), CONFIDENCE).where(_row.confidence.is_not(None))
    reasons = (
        _spread(_found(connection, unsure.order_by(_row.confidence).limit(most), "unsure")),
        _spread(_found(connection, _disagreeing().limit(most), "checkpoints disagree")),
        _spread(_rare(connection, most)),
    )
    chosen: dict[str, Suggestion] = {}
    for taken in zip_longest(*reasons):
        for one in filter(None, taken):
            if len(chosen) < number:
                chosen.setdefault(one.digest, one)
    return list(chosen.values())


def _spread(found: Iterable[Suggestion]) -> list[Suggestion]:
    """The first of each folder, then the second of each, in their own order."""
    seen: Counter[str] = Counter()
    ranked = []
    for one in found:
        ranked.append((seen[one.folder], one))
        seen[one.folder] += 1
    return [one for _, one in sorted(ranked, key=lambda pair: pair[0])]


def _open() -> Select[Any]:
    return select(*_COLUMNS).join(inbox, inbox.c.id == _row.inbox_id).where(_IS_OPEN)


def _disagreeing() -> Select[Any]:
    """Among the newest, since no index knows them."""
    other = and_(prediction.c.recording_id == _row.id, prediction.c.label != _row.label)
    newest = select(func.max(_row.id)).scalar_subquery()
    query = _open().join(prediction, other).where(_row.id > newest - _NEWEST)
    return query.order_by(_row.id.desc())


def _rare(connection: Connection, most: int) -> Iterator[Suggestion]:
    """Labels that are given less often than the even share, the rarest first."""
    given = select(tally.c.label, func.sum(tally.c.n)).where(
        tally.c.state == "done", tally.c.label != ""
    )
    numbers = {label: n for label, n in connection.execute(given.group_by(tally.c.label)) if n}
    even = sum(numbers.values()) / max(1, len(numbers))
    for label in sorted(numbers, key=lambda label: numbers[label]):
        if numbers[label] < even:
            of_label = recording_label.c.label == label, _row.label == label
            query = _open().join(recording_label, recording_label.c.recording_id == _row.id)
            query = query.where(*of_label).order_by(recording_label.c.answered_at.desc())
            query = query.with_hint(recording, "NOT INDEXED", "sqlite").limit(most)
            yield from _found(connection, query, f"few are {label}")


def _found(connection: Connection, query: Select[Any], reason: str) -> Iterator[Suggestion]:
    for digest, folder, path, path_text, label, confidence in connection.execute(query):
        site = f"{folder}/{folder_of(path)}"
        yield Suggestion(path_text, folder, label, confidence, reason, digest, site)
