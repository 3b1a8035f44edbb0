"""Counts recordings, from the tallies where these know the filters, and clips, which are read."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select

from storage.database.deadline import Clock, TakesLong, interrupted_at
from storage.database.decision_sql import each_label, told_label
from storage.database.tables import (
    DAY_LENGTH,
    checkpoint,
    folder_expression,
    folder_tally,
    prediction,
    recording,
    recording_label,
    tally,
)
from storage.queries.clips import ClipOptions, Span, clip_at
from storage.queries.filters import (
    AFTER_ALL,
    LABEL,
    STATES,
    Axis,
    Filters,
    Status,
    answer_columns,
    by_index,
    clauses,
    joined,
    labelled,
    moment,
    path_prefix,
)
from storage.queries.page_index import Tallied, best_index, day_clauses, tallied, tally_clauses
from storage.queries.result import Result
from storage.queries.results import OnRead, clip_spans, ignore
from storage.values.timestamps import to_local_time

_row, _tally = recording.c, tally.c
_LIMITS = (100, 1_000, 10_000, 100_000)  # of a count for a foot
_CHUNK_ROWS = 1000
Counts = list[tuple[str | None, int]]
_HOUR = slice(len("2026-01-31T"), len("2026-01-31T12"))


def count(connection: Connection, filters: Filters) -> int:
    """How many recordings fit, or rows of a history."""
    return sum(number for _, number in count_by(connection, filters, "status"))


def count_by(connection: Connection, filters: Filters, axis: Axis) -> Counts:
    """How many recordings share a value of the axis: most first, but days (UTC) in order.

    A recording counts once for each of its labels.
    """
    return in_order(_counted(connection, filters.within(connection), axis), axis)


def count_clips_by(
    connection: Connection,
    filters: Filters,
    clips: ClipOptions,
    axis: Axis,
    on_read: OnRead = ignore,
) -> Counts:
    """How many clips that fit share it; days (UTC) and hours (of the zone) are those of clips."""
    return count_spans(clip_spans(connection, filters, clips, on_read), axis, filters.rules.zone)


def count_spans(spans: Iterable[tuple[Result, Span]], axis: Axis, zone: str) -> Counts:
    """The same of clips that are read."""
    found = Counter(_value_of(one, span, axis, zone) for one, span in spans)
    return in_order(found.items(), axis)


@dataclass(frozen=True)
class Number:
    """A count that is exact, or else known to be no less."""

    n: int
    is_exact: bool = True

    def __str__(self) -> str:
        return str(self.n) if self.is_exact else f"at least {self.n}"


def count_in_time(
    connection: Connection, filters: Filters, seconds: float, clock: Clock = time.monotonic
) -> Number:
    """Counts to growing limits until all are counted or the time is up, for the foot of a table.

    Nobody waits seconds for a foot. Where the tallies know, it is exact at any size.
    """
    filters = filters.within(connection)
    if filters.is_tallied or _is_of_folders(filters):
        return Number(count(connection, filters))
    known = tallied(connection, filters)
    if not (known.fitting or filters.history):
        return Number(0)
    query, found = _ids(connection, filters, known), 0
    deadline = clock() + seconds  # what came before takes milliseconds at any size
    with suppress(TakesLong), interrupted_at(connection, deadline, clock):
        for limit in _LIMITS:
            some = query.limit(limit + 1).subquery()
            n = connection.scalar(select(func.count()).select_from(some)) or 0
            if n <= limit:
                return Number(n)
            found = limit
    return Number(found, is_exact=False)


def _ids(connection: Connection, filters: Filters, known: Tallied) -> Select[Any]:
    if filters.history:  # of which the tallies know the current answers only
        return select(_row.id).select_from(joined(filters)).where(*clauses(filters))
    filters = known.within(filters)
    index = best_index(connection, filters, "newest", _LIMITS[-1] // 10, known)
    if index == LABEL:
        labels = filters.indexed_labels
        query = labelled(filters, recording_label.c.recording_id)
        query = query.where(recording_label.c.label.in_(labels))
        return query.distinct() if len(labels) > 1 else query
    return by_index(select(_row.id), index).where(*clauses(filters))


def count_others(
    connection: Connection, filters: Filters, seconds: float = float("inf")
) -> dict[Status, Number]:
    """What the status leaves out, per state, of the same paths and times; each in so long."""
    return others_of(filters, lambda wide: count_in_time(connection, wide, seconds))


def others_of(filters: Filters, count_them: Callable[[Filters], Number]) -> dict[Status, Number]:
    """What the status leaves out, per state, of the same paths and times."""
    wide = Filters(
        since=filters.since,
        until=filters.until,
        path=filters.path,
        by_recorded=filters.by_recorded,
        rules=filters.rules,
    )
    left_out = [state for state in STATES if state not in filters.states]
    found = {state: count_them(wide.with_status(state)) for state in left_out}
    return {state: number for state, number in found.items() if number.n}


def has_unmeasured_levels(connection: Connection) -> bool:
    """Whether there are answers from before levels were measured."""
    answered = select(_row.id).where(_row.state == "done", _row.rms_dbfs.is_(None)).limit(1)
    return connection.scalar(answered) is not None


def _value_of(one: Result, span: Span, axis: Axis, zone: str) -> str | None:
    if axis == "label":
        return span.label
    if axis in ("day", "hour"):
        moment = clip_at(one, span.start_s)
        if moment is not None and axis == "hour":
            return to_local_time(moment, zone)[_HOUR]
        return moment and moment[:DAY_LENGTH]
    if axis == "folder":
        return os.path.dirname(one.path) or "."
    return getattr(one, axis) or None


def in_order(counts: Iterable[tuple[str | None, int]], axis: Axis) -> Counts:
    """Days and hours by their time, all else with the most first."""
    if axis in ("day", "hour"):
        return sorted(counts, key=lambda pair: pair[0] or "")
    return sorted(counts, key=lambda pair: (-pair[1], pair[0] or ""))


def _counted(connection: Connection, filters: Filters, axis: Axis) -> Counts:
    if axis == "site":
        return list(_of_sites(connection, filters).items())
    if axis in ("folder", "status") and _is_of_folders(filters):
        return _of_folders(connection, filters, axis)
    if axis == "label" and not filters.rules.one_label:
        return _of_labels(connection, filters)
    is_shown_label = axis == "label" and filters.rules.has_thresholds
    if filters.history:
        queries = [_grouped(filters, axis).select_from(joined(filters))]
    elif axis == "folder" or is_shown_label or not filters.is_tallied:
        queries = [_grouped(filters.with_status(state), axis) for state in filters.states]
    else:
        queries = [*_of_days(filters, axis)]
    found: Counter[Any] = Counter()
    for query in queries:
        for value, number in connection.execute(query):
            found[value] += number
    return _named(connection, found, axis)


def _of_labels(connection: Connection, filters: Filters) -> Counts:
    """Each finding that is told, and answers of which none is."""
    source = joined(filters) if filters.history else recording
    told, label, _ = each_label(filters.rules, answer_columns(filters), source)
    query = select(label, func.count()).select_from(told).where(*clauses(filters))
    return [(name, n) for name, n in connection.execute(query.group_by(label))]


def _of_sites(connection: Connection, filters: Filters) -> Counter[str | None]:
    """Only a pattern has to see whole paths."""
    found: Counter[str | None] = Counter()
    if not filters.rules.site_pattern:
        for folder, number in _counted(connection, filters, "folder"):
            found[None if folder == "." else (folder or "").partition("/")[0]] += number
        return found
    of_history = select(_row.path_text).select_from(joined(filters))
    query = (of_history if filters.history else select(_row.path_text)).where(*clauses(filters))
    for path in connection.scalars(query, execution_options={"yield_per": _CHUNK_ROWS}):
        found[filters.rules.site_of(path) or None] += 1
    return found


def _named(connection: Connection, found: Counter[Any], axis: Axis) -> Counts:
    names: dict[Any, str | None] = {"": None, 0: None, None: None}
    if axis == "checkpoint":
        checkpoints = connection.execute(select(checkpoint.c.id, checkpoint.c.name))
        names.update((row[0], row[1]) for row in checkpoints)
    counts: Counter[str | None] = Counter()
    for value, number in found.items():
        counts[names.get(value, value)] += number
    return [(value, number) for value, number in counts.items() if number]


# --- from the tallies


def _of_days(filters: Filters, axis: Axis) -> Iterator[Select[Any]]:
    """Whole days from the tally; of a day that begins or ends within, the recordings."""
    columns: dict[Axis, ColumnElement[Any]] = {
        "label": _tally.label,
        "status": _tally.state,
        "checkpoint": _tally.checkpoint_id,
        "day": _tally.day,
    }
    whole = *tally_clauses(filters), *day_clauses(filters, is_whole=True)
    yield select(columns[axis], func.sum(_tally.n)).where(*whole).group_by(columns[axis])
    for since, until in _edges(filters):
        for state in filters.states:
            edge = replace(filters, status=state, since=since, until=until)
            yield _grouped(edge, axis)


def _edges(filters: Filters) -> Iterator[tuple[str, str]]:
    since, until = filters.since, filters.until
    first, last = since and since[:DAY_LENGTH], until and until[:DAY_LENGTH]
    if since and until and first == last:
        yield since, until
        return
    if since:
        yield since, min(f"{first}{AFTER_ALL}", until or f"{first}{AFTER_ALL}")
    if until and last and (not since or since < until):
        yield last, until


def _is_of_folders(filters: Filters) -> bool:
    tallied_filters = replace(filters, status="all", path=None)
    return tallied_filters == Filters(status="all") and (
        filters.path is None or _is_folder(filters.path)
    )


def _is_folder(glob: str) -> bool:
    """`yard/*`: all in it and below."""
    first = path_prefix(glob)
    return not glob.startswith(("/", "./")) and first.endswith("/") and glob == f"{first}*"


def _of_folders(connection: Connection, filters: Filters, axis: Axis) -> Counts:
    of = folder_tally.c
    key = of.folder if axis == "folder" else of.state
    query = select(key, func.sum(of.n)).group_by(key)
    if filters.status != "all":
        query = query.where(of.state == filters.status)
    if filters.path is not None:
        folder = path_prefix(filters.path)
        below = and_(of.folder >= folder, of.folder < f"{folder[:-1]}0")  # 0 comes after the slash
        query = query.where(or_(of.folder == folder[:-1], below))
    return [(value, number) for value, number in connection.execute(query) if number]


def _grouped(filters: Filters, axis: Axis) -> Select[Any]:
    """Counts of the recordings themselves, or of the predictions of a history."""
    answer = prediction.c if filters.history else _row
    time = _row.first_seen_at if filters.status == "pending" else _row.answered_at
    keys: dict[Axis, ColumnElement[Any]] = {
        "label": told_label(filters.rules, answer_columns(filters)),
        "status": _row.state,
        "checkpoint": answer.checkpoint_id,
        "day": func.substr(moment(filters) if filters.history else time, 1, DAY_LENGTH),
        "folder": folder_expression(),
    }
    key = keys[axis]
    return select(key, func.count()).where(*clauses(filters)).group_by(key)
