"""Which index a page of results is read by, and what the tallies know of its filters.

SQLite cannot know how many recordings a filter leaves. So they are either walked in the order of
the page, until enough fit, or gathered from those that one filter leaves, and sorted; whichever
reads less. benchmarks/history/ledger.md has what pages take without this.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

from sqlalchemy import ColumnElement, Connection, and_, case, func, select

from storage.database.tables import (
    DAY_LENGTH,
    PATH_INDEX,
    checkpoint,
    recording,
    recording_label,
    tally,
)
from storage.labels.human_labels import has_human_label
from storage.queries.filters import (
    AFTER_ALL,
    ANSWER,
    CONFIDENCE,
    DIGEST,
    LABEL,
    MOMENT,
    RECORDED,
    Filters,
    Sort,
    by_index,
    checkpoint_clause,
    path_prefix_clauses,
    range_clauses,
    recorded_clauses,
    stored_bounds,
)
from storage.values.decision import DisplayRules

_LOOK = 60_000  # entries that are counted to learn whether a filter leaves few
_SAMPLE = 2_000  # answers that tell which share a filter leaves where it leaves many
# Cost of fetching the table row for an index entry, relative to an entry that tells enough
# (2 us against 0.1 us). Of rows that were answered one after the other several lie on a page, and
# those in the order of confidence lie anywhere (3.8 us against 1.4 us in the order of paths).
_ROW, _NEXT_ROW, _SCATTERED_ROW = 20, 4, 50
# Recorders number their files, so in the order of paths the newest come last in each folder.
_NEWEST_BY_PATH = 10
_row, _tally = recording.c, tally.c


@dataclass(frozen=True)
class Tallied:
    """How many recordings there are, how many have the status, how many fit, and on which days.

    `surest` are those whose most probable label fits, by all but thresholds.
    """

    total: int
    of_status: int
    fitting: int
    surest: int
    first_day: str | None
    last_day: str | None

    def within(self, filters: Filters) -> Filters:
        """The filters with the days on which anything fits.

        So that those of a checkpoint of last year are not looked for among all that came after.
        """
        if filters.by_recorded or not (filters.labels or filters.checkpoint):
            return filters
        first, behind = self.first_day or "", f"{self.last_day}{AFTER_ALL}"
        since = max(filters.since or first, first)
        return replace(filters, since=since, until=min(filters.until or behind, behind))


def tallied(connection: Connection, filters: Filters) -> Tallied:
    """As far as the tally knows: by status, label, checkpoint and whole days of answers."""
    within = [] if filters.by_recorded else [*day_clauses(filters)]
    fits = and_(_tally.n > 0, *tally_clauses(filters), *within)
    has_status = and_(_tally.n > 0, *tally_clauses(Filters(status=filters.status)), *within)
    stored = replace(filters, rules=DisplayRules(one_label=True))
    is_surest = and_(_tally.n > 0, *tally_clauses(stored), *within)
    found = connection.execute(
        select(
            func.sum(_tally.n),
            func.sum(case((has_status, _tally.n), else_=0)),
            func.sum(case((fits, _tally.n), else_=0)),
            func.sum(case((is_surest, _tally.n), else_=0)),
            func.min(case((fits, _tally.day))),
            func.max(case((fits, _tally.day))),
        )
    ).one()
    total, of_status, fitting, surest = (number or 0 for number in found[:4])
    return Tallied(total, of_status, fitting, surest, found[4], found[5])


def tally_clauses(filters: Filters) -> Iterator[ColumnElement[bool]]:
    """All but the time."""
    if filters.status != "all":
        yield _tally.state == filters.status
    if filters.labels and filters.rules.tells_stored_label:
        yield _tally.label.in_(filters.labels)
    if filters.checkpoint is not None:
        named = select(checkpoint.c.id).where(checkpoint_clause(filters.checkpoint))
        yield _tally.checkpoint_id.in_(named)


def day_clauses(filters: Filters, is_whole: bool = False) -> Iterator[ColumnElement[bool]]:
    """The days of a time; `is_whole`: without those that begin or end within it."""
    if filters.since is not None:
        first = filters.since[:DAY_LENGTH]
        yield _tally.day > first if is_whole else _tally.day >= first
    if filters.until is not None:
        last = filters.until[:DAY_LENGTH]
        yield _tally.day < last if is_whole else _tally.day <= last


def best_index(
    connection: Connection, filters: Filters, sort: Sort, limit: int, known: Tallied
) -> str:
    """The cheapest one for `limit` rows, as if the filters had nothing to do with each other."""
    if _in_order(filters, sort) == LABEL and not _has_others(filters):
        return LABEL
    left = dict(_left(connection, filters, known))
    costs = {
        index: n * _cost(index, filters, sort)
        for index, n in left.items()
        if n < _LOOK or index == ANSWER
    }
    in_order = _in_order(filters, sort)
    total = max(1, known.total)
    fitting = max(1.0, total * prod(n / total for n in left.values()))
    size = left.get(in_order, total)
    walked = min(size, int(limit * max(1.0, size / fitting))) * _cost(in_order, filters, sort)
    narrowest = min(left, key=lambda index: left[index], default=None)
    if sort == "path" and filters.since is not None and narrowest == ANSWER:
        walked *= _NEWEST_BY_PATH
    costs[in_order] = min(walked, costs.get(in_order, walked))
    return min(costs, key=lambda index: costs[index])


def _has_others(filters: Filters) -> bool:
    """Whether other filters than labels and times have an index."""
    of_rows = filters.bounds_confidence or filters.by_recorded or filters.path is not None
    return filters.of_people or of_rows


def _left(connection: Connection, filters: Filters, known: Tallied) -> Iterator[tuple[str, int]]:
    """How many recordings each filter leaves, by the index that finds them; _LOOK is many."""
    if filters.indexed_labels:
        yield LABEL, max(known.surest, _entries(connection, filters.indexed_labels))
    if filters.status != "all":
        yield ANSWER, known.of_status
    if within := [*range_clauses(_row.confidence, *stored_bounds(filters))]:
        n = _look(connection, CONFIDENCE, within)
        if n == _LOOK:
            n = max(n, int(known.total * _share_of_newest(connection, within)))
        yield CONFIDENCE, n
    if filters.by_recorded:
        yield RECORDED, _look(connection, RECORDED, [*recorded_clauses(filters)])
    if filters.of_people:
        yield DIGEST, _look(connection, DIGEST, [has_human_label(filters.author)])
    if filters.path is not None and (prefix := [*path_prefix_clauses(filters.path)]):
        yield PATH_INDEX, _look(connection, PATH_INDEX, prefix)


def _look(connection: Connection, index: str, where: Sequence[ColumnElement[bool]]) -> int:
    seen = by_index(select(_row.id), index).where(*where).limit(_LOOK).subquery()
    return connection.scalar(select(func.count()).select_from(seen)) or 0


def _share_of_newest(connection: Connection, where: Sequence[ColumnElement[bool]]) -> float:
    """How many of the newest answers fit, as the index knows them: an estimate of all."""
    newest = by_index(select(and_(*where).label("fits")), ANSWER).where(_row.state == "done")
    newest = newest.order_by(_row.answered_at.desc()).limit(_SAMPLE)
    return connection.scalar(select(func.avg(newest.subquery().c.fits))) or 0.0


def _entries(connection: Connection, labels: Sequence[str]) -> int:
    """In the index of findings; no more are counted than tell that there are many."""
    seen = select(recording_label.c.recording_id).where(recording_label.c.label.in_(labels))
    counted = select(func.count()).select_from(seen.limit(_LOOK).subquery())
    return connection.scalar(counted) or 0


def _in_order(filters: Filters, sort: Sort) -> str:
    """The index whose order is that of the page."""
    if sort == "path":
        return PATH_INDEX
    if sort == "confidence":
        # Where nothing has a confidence, the index would be walked to its end.
        return ANSWER if filters.status in ("failed", "pending") else CONFIDENCE
    if filters.status == "pending" or (filters.status == "all" and not filters.indexed_labels):
        return MOMENT
    return LABEL if filters.indexed_labels else ANSWER


def _cost(index: str, filters: Filters, sort: Sort) -> int:
    """Of an entry of the index: whether it tells enough, or the row must be fetched."""
    if index == LABEL:
        return _NEXT_ROW
    tells = index == ANSWER and filters.status not in ("pending", "all")
    if tells and sort != "path" and filters.path is None:
        return 1
    return {ANSWER: _NEXT_ROW, CONFIDENCE: _SCATTERED_ROW}.get(index, _ROW)
