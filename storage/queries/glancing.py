"""How many, for the foot of a table: exactly where that is quick, else how many at least.

Nobody waits seconds for a foot. Who wants to know asks for a count.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from sqlalchemy import Connection, func, select

from storage.database.bulk import by_index
from storage.database.tables import recording
from storage.queries.counts import count, is_quick, others
from storage.queries.filters import Filters, Status, clauses, recorded
from storage.queries.paging import RECORDED_INDEX, days_of, few_of, gathering, within

# What is counted in any case: entries of an index, some 0.02 s.
_QUICK = 200_000
_SECONDS = 0.05
_LATEST = 40_000  # recordings of which the rows are read, in some 0.1 s


@dataclass(frozen=True)
class Number:
    n: int
    is_all: bool = True

    def or_more(self, n: int) -> Number:
        """With `n` known to be there."""
        return replace(self, n=max(self.n, n))

    def __str__(self) -> str:
        return str(self.n) if self.is_all else f"at least {self.n}"


def glance(
    connection: Connection, filters: Filters, clock: Callable[[], float] = time.monotonic
) -> Number:
    """Counts the newest days first, until the time is up."""
    if is_quick(filters):
        return Number(count(connection, filters))
    days = days_of(connection, filters)
    few = list(few_of(connection, filters, sum(days.values())))
    ways = sorted(gathering(filters, "newest", few), key=lambda way: way.cost)
    if ways and ways[0].cost <= _QUICK:
        return Number(_count(connection, filters, ways[0].index))
    if filters.by_recorded:  # what is counted day by day below are days of answers
        return _among_the_latest(connection, filters)
    found, end = 0, clock() + _SECONDS
    for span in _spans(filters, days):
        if clock() > end:
            return Number(found, is_all=False)
        found += count(connection, within(filters, span, span))
    return Number(found)


def _spans(filters: Filters, days: Iterable[str]) -> Iterator[str]:
    """The beginnings of stamps, newest first; hours where every recording must be read."""
    for day in sorted(days, reverse=True):
        if filters.path is None:
            yield day
        else:
            yield from (f"{day}T{hour:02}" for hour in reversed(range(24)))


def glance_at_others(connection: Connection, filters: Filters) -> dict[Status, Number]:
    """What the status leaves out, per state."""
    found = {state: glance(connection, other) for state, other in others(filters)}
    return {state: number for state, number in found.items() if number.n or not number.is_all}


def _among_the_latest(connection: Connection, filters: Filters) -> Number:
    """Counts among those that began last."""
    timely = by_index(select(recording.c.id), recording, RECORDED_INDEX).where(*recorded(filters))
    latest = timely.order_by(recording.c.recorded_at.desc()).limit(_LATEST).subquery()
    looked_at = connection.scalar(select(func.count()).select_from(latest)) or 0
    fit = select(func.count()).where(recording.c.id.in_(select(latest.c.id)), *clauses(filters))
    return Number(connection.scalar(fit) or 0, is_all=looked_at < _LATEST)


def _count(connection: Connection, filters: Filters, index: str) -> int:
    query = by_index(select(func.count()), recording, index).where(*clauses(filters))
    return connection.scalar(query) or 0
