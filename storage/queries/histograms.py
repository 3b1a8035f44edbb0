"""Days and confidences of what fits some filters: to look at, and to narrow the filters by.

Both are bounded in time. What would take longer is not counted: of days there are then those of
wider filters, and of confidences those of the newest recordings.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace

from sqlalchemy import Connection, select

from storage.database.bulk import chunks
from storage.database.decision_sql import told_confidence
from storage.database.tables import recording
from storage.queries.counts import Clock, Counts, CountTakesLong, count_by, interrupted_at
from storage.queries.filters import Filters, answer_columns
from storage.queries.results import newest_ids

BINS = 20  # of confidence from 0 to 1
NEWEST = 10_000  # recordings whose confidence is read: some 60 ms
_row = recording.c


@dataclass(frozen=True)
class DayHistogram:
    """Days in order (UTC). Where it is not exact there are no more: some filters were left out."""

    days: Counts
    is_exact: bool = True


@dataclass(frozen=True)
class ConfidenceHistogram:
    """How many of the newest `total` have a confidence in each of BINS equal steps."""

    bins: list[int]
    total: int
    is_exact: bool = True  # of all that fit


def days_in_time(
    connection: Connection, filters: Filters, seconds: float, clock: Clock = time.monotonic
) -> DayHistogram:
    """From the tallies at any size; else counted, for so long at most."""
    filters = filters.within(connection)
    try:
        with interrupted_at(connection, clock() + seconds, clock):
            return DayHistogram(count_by(connection, filters, "day"))
    except CountTakesLong:
        wide = Filters(filters.status, since=filters.since, until=filters.until)
        if filters.rules.tells_stored_label:
            wide = replace(wide, labels=filters.labels, checkpoint=filters.checkpoint)
        wide = replace(wide, rules=filters.rules)
        return DayHistogram(count_by(connection, wide, "day"), is_exact=False)


def confidences_in_time(
    connection: Connection, filters: Filters, seconds: float, clock: Clock = time.monotonic
) -> ConfidenceHistogram:
    """Of the newest NEWEST that fit; of none where even that takes longer."""
    filters = filters.within(connection)
    value = told_confidence(filters.rules, answer_columns(filters))
    found: Counter[int] = Counter()
    try:
        with interrupted_at(connection, clock() + seconds, clock):
            ids = newest_ids(connection, filters, NEWEST + 1)
            for some in chunks(ids[:NEWEST]):
                for confidence in connection.scalars(select(value).where(_row.id.in_(some))):
                    if confidence is not None:
                        found[min(int(confidence * BINS), BINS - 1)] += 1
    except CountTakesLong:
        return ConfidenceHistogram([0] * BINS, 0, is_exact=False)
    bins = [found[at] for at in range(BINS)]
    return ConfidenceHistogram(bins, found.total(), is_exact=len(ids) <= NEWEST)
