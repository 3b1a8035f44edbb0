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
from storage.database.deadline import Clock, TakesLong, interrupted_at
from storage.database.decision_sql import told_confidence
from storage.database.tables import DAY_LENGTH, recording
from storage.queries.counts import Counts, count_by
from storage.queries.filters import Filters, answer_columns
from storage.queries.results import newest_keys

BINS = 20  # of confidence from 0 to 1
NEWEST = 10_000  # recordings whose confidence is read: some 60 ms
_row = recording.c


@dataclass(frozen=True)
class Histograms:
    """Days (UTC) in order, and how many of `n_read` recordings are so sure, in BINS equal steps.

    Each is without the bounds that it sets: days of all times, and any confidence. Where days are
    not exact there are no more, since some filters were left out; where bins are not, they are of
    the newest recordings.
    """

    days: Counts
    are_days_exact: bool
    bins: list[int]
    are_bins_exact: bool
    n_read: int


def histograms_in_time(
    connection: Connection, filters: Filters, seconds: float, clock: Clock = time.monotonic
) -> Histograms:
    """Each counts for so long at most."""
    filters = filters.within(connection)
    of_all_times = replace(filters, since=None, until=None)
    days, are_days_exact = _days(connection, of_all_times, clock() + seconds, clock)
    as_sure_as_any = replace(filters, min_confidence=None, max_confidence=None)
    found, has_all = _confidences(connection, as_sure_as_any, clock() + seconds, clock)
    bins = [found[at] for at in range(BINS)]
    return Histograms(days, are_days_exact, bins, has_all, found.total())


def _days(
    connection: Connection, filters: Filters, deadline: float, clock: Clock
) -> tuple[Counts, bool]:
    try:
        with interrupted_at(connection, deadline, clock):
            if not filters.is_tallied:
                keys = newest_keys(connection, filters, NEWEST + 1)
                if len(keys) <= NEWEST:
                    days = Counter(moment[:DAY_LENGTH] for _, moment in keys if moment)
                    return sorted(days.items()), True
            return count_by(connection, filters, "day"), True
    except TakesLong:
        wide = Filters(filters.status, rules=filters.rules)
        if filters.rules.tells_stored_label:
            wide = replace(wide, labels=filters.labels, checkpoint=filters.checkpoint)
        return count_by(connection, wide, "day"), False


def _confidences(
    connection: Connection, filters: Filters, deadline: float, clock: Clock
) -> tuple[Counter[int], bool]:
    value = told_confidence(filters.rules, answer_columns(filters))
    found: Counter[int] = Counter()
    try:
        with interrupted_at(connection, deadline, clock):
            ids = [id for id, _ in newest_keys(connection, filters, NEWEST + 1)]
            for some in chunks(ids[:NEWEST]):
                for confidence in connection.scalars(select(value).where(_row.id.in_(some))):
                    if confidence is not None:
                        found[min(int(confidence * BINS), BINS - 1)] += 1
            return found, len(ids) <= NEWEST
    except TakesLong:
        return found, False
