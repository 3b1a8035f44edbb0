"""Which recordings stand on a page: found by the way that reads least.

A page is either walked in its order, until enough recordings fit, or gathered from the few that
one filter leaves, and sorted. Which is less is known beforehand, from the tally and from a look at
the beginning of an index, so that no page reads much of a large ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from storage.database.bulk import by_index
from storage.database.engine import PATH_INDEX
from storage.database.tables import human_label, inbox, recording, tally
from storage.ledger.counters import DAY_LENGTH
from storage.queries.counts import of_tally
from storage.queries.filters import Filters, Sort, beginning, clauses, confident, moment, recorded

_row = recording.c
_LABEL, _ANSWER = "ix_recording_label", "ix_recording_answer"
_DIGEST, RECORDED_INDEX = "ix_recording_digest", "ix_recording_recorded"
_MOMENT, _CONFIDENCE = "ix_recording_moment", "ix_recording_confidence"
# So many entries are looked at to learn whether a filter leaves few.
_LOOK = 60_000
# What it costs to read a row for an entry, in entries that tell enough (measured: 2 and 0.1 µs).
_ROW = 20
_ANSWERED = ("done", "failed", "superseded")


@dataclass(frozen=True)
class Few:
    """What one filter leaves, and the index that finds it; `is_all` or there are more."""

    n: int
    index: str
    is_all: bool = True


@dataclass(frozen=True)
class Way:
    """An index to read, and the cost of that in entries."""

    cost: int
    index: str


def first_ids(connection: Connection, filters: Filters, sort: Sort, limit: int) -> list[int]:
    """The recordings of a page, in its order."""
    days = days_of(connection, filters)
    if not days:
        return []
    if (filters.stored_labels or filters.checkpoint is not None) and not filters.by_recorded:
        filters = within(filters, min(days), max(days))
    few = list(few_of(connection, filters, sum(days.values())))
    way = min(_ways(connection, filters, sort, limit, few), key=lambda way: way.cost)
    found: list[Sequence[Any]] = []
    for query in _queries(connection, filters, sort):
        chosen = by_index(query, recording, way.index)
        chosen = chosen.order_by(*order(sort, moment(filters))).limit(limit)
        found += connection.execute(chosen).all()
    if sort == "path":
        found.sort(key=lambda row: (row[1], row[0]))
    return [row[0] for row in found[:limit]]


def order(
    sort: Sort, moment: ColumnElement[str], confidence: ColumnElement[Any] = _row.confidence
) -> tuple[ColumnElement[Any], ...]:
    match sort:
        case "newest":
            return moment.desc(), _row.id.desc()
        case "oldest":
            return moment.asc(), _row.id.asc()
        case "confidence":
            return confidence.desc().nulls_last(), _row.id.desc()
        case "path":
            return _row.path.asc(), _row.id.asc()


def _queries(connection: Connection, filters: Filters, sort: Sort) -> Iterator[Select[Any]]:
    """One; in the order of paths one for each inbox, as the index has them."""
    query = select(_row.id, _row.path if sort == "path" else _row.id).where(*clauses(filters))
    if sort != "path":
        yield query
        return
    for inbox_id in connection.scalars(select(inbox.c.id)).all():
        yield query.where(_row.inbox_id == inbox_id)


# --- what is known beforehand


def days_of(connection: Connection, filters: Filters) -> dict[str, int]:
    """How many recordings of each day fit, as far as the tally knows; days without are absent."""
    query = select(tally.c.day, func.sum(tally.c.n)).where(*of_tally(filters))
    if filters.by_recorded:  # the tally has the days of answers
        filters = replace(filters, since=None, until=None)
    if filters.since is not None:
        query = query.where(tally.c.day >= filters.since[:DAY_LENGTH])
    if filters.until is not None:
        query = query.where(tally.c.day <= filters.until[:DAY_LENGTH])
    found = connection.execute(query.group_by(tally.c.day))
    return {day: int(number) for day, number in found if number > 0}


def within(filters: Filters, first_day: str, last_day: str) -> Filters:
    behind = f"{last_day}U"  # comes after the T of a stamp
    since = max(filters.since or first_day, first_day)
    return replace(filters, since=since, until=min(filters.until or behind, behind))


def few_of(connection: Connection, filters: Filters, n_tallied: int) -> Iterator[Few]:
    """Each filter that an index knows, and how many recordings it leaves."""
    if filters.stored_labels:
        yield Few(n_tallied, _LABEL)
    if filters.status != "all":
        plain = Filters(status=filters.status)
        if not filters.by_recorded:
            plain = replace(plain, since=filters.since, until=filters.until)
        yield Few(sum(days_of(connection, plain).values()), _ANSWER)
    if filters.bounds_confidence:
        where = list(confident(filters, _row.confidence))
        yield _look(connection, where, _CONFIDENCE)
    if filters.by_recorded:
        yield _look(connection, list(recorded(filters)), RECORDED_INDEX)
    if filters.wrong:
        yield _look(connection, [_row.digest.in_(select(human_label.c.digest))], _DIGEST)
    if filters.path is not None and (where := list(beginning(filters.path))):
        yield _look(connection, where, PATH_INDEX)


def _look(connection: Connection, where: Sequence[ColumnElement[bool]], index: str) -> Few:
    seen = by_index(select(_row.id), recording, index).where(*where).limit(_LOOK).subquery()
    number = connection.scalar(select(func.count()).select_from(seen)) or 0
    return Few(number, index, is_all=number < _LOOK)


def _ways(
    connection: Connection, filters: Filters, sort: Sort, limit: int, few: Sequence[Few]
) -> Iterator[Way]:
    yield from gathering(filters, sort, few)
    index = _in_order(filters, sort)
    among = next((some.n for some in few if some.index == index), None)
    total = max(1, _total(connection))
    # As if the filters had nothing to do with each other.
    fitting = total * prod(some.n / total for some in few)
    size = total if among is None else among
    steps = min(size, int(limit * max(1.0, size / max(1.0, fitting))))
    yield Way(steps * _cost(index, filters, sort), index)


def gathering(filters: Filters, sort: Sort, few: Sequence[Few]) -> Iterator[Way]:
    for some in few:
        if some.is_all:
            yield Way(some.n * _cost(some.index, filters, sort), some.index)


def _in_order(filters: Filters, sort: Sort) -> str:
    """The index whose order is that of the page."""
    if sort == "confidence":
        # Where nothing has a confidence, the index would be walked to its end for these.
        return _ANSWER if filters.status in ("failed", "pending") else _CONFIDENCE
    if sort == "path":
        return PATH_INDEX
    if filters.status not in _ANSWERED:
        return _MOMENT
    return _LABEL if len(filters.stored_labels) == 1 else _ANSWER


def _cost(index: str, filters: Filters, sort: Sort) -> int:
    knows = index in (_LABEL, _ANSWER) and filters.status in _ANSWERED
    return 1 if knows and sort != "path" and filters.path is None else _ROW


def _total(connection: Connection) -> int:
    return int(connection.scalar(select(func.sum(tally.c.n))) or 0)
