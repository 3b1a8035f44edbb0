"""The ledger's reads: which recordings, in which order, and how many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    case,
    func,
    literal,
    null,
    or_,
    select,
    tuple_,
)

from storage.database.bulk import by_index, chunks
from storage.database.engine import PATH_INDEX
from storage.database.tables import checkpoint, inbox, prediction, recording
from storage.ledger.counters import DAY_LENGTH, folder_expression
from storage.queries.clips import ClipOptions
from storage.queries.counts import Counts, in_order
from storage.queries.filters import (
    Axis,
    Filters,
    Sort,
    as_told,
    clauses,
    confident,
    contradicted,
    fitting,
    human_labels,
    labelled,
    made_by,
    moment,
    of_sound,
    timely,
)
from storage.queries.paging import first_ids, order
from storage.queries.result import Result
from storage.values.decision import DisplayRules
from storage.values.recorded_at import as_stamp

Cursor = tuple[str, int]  # moment, recording


_CHUNK_ROWS = 1000
_BEFORE_ALL: Cursor = ("", 0)
_row = recording.c


_FIELDS = [field.name for field in fields(Result)]
_PATH, _LABEL, _CONFIDENCE, _RECORDED = (
    _FIELDS.index(name) for name in ("path", "label", "confidence", "recorded_at")
)


def results(
    connection: Connection,
    filters: Filters,
    sort: Sort = "newest",
    limit: int = 0,
    clips: ClipOptions | None = None,
) -> Iterator[Result]:
    """Read in chunks, so that memory does not grow with the ledger; a limit of 0 is none.

    With `clips` each row is one of the recordings chosen, and the limit counts these rows.
    """
    if limit and not filters.history:
        found = _page(connection, filters, sort, limit, clips is not None)
    else:
        query = _chosen(filters, clips is not None).order_by(*_order(filters, sort))
        found = _read(connection, query.limit(limit) if limit else query, filters.manner)
    if clips is None:
        yield from found
        return
    left = limit or None
    for result in found:
        for clip in clips.rows_of(result, filters.manner):
            yield clip
            if left is not None and (left := left - 1) == 0:
                return


def sounds(
    connection: Connection, filters: Filters, clips: ClipOptions
) -> Iterator[tuple[Result, list[Result]]]:
    """Recordings by inbox and path, each with its rows; of a recording without any there are none.

    Label and confidence are asked of the rows, not of the recordings.
    """
    of_recordings = replace(filters, labels=(), min_confidence=None, max_confidence=None)
    query = by_index(_chosen(of_recordings, clips=True), recording, PATH_INDEX)  # in its order
    query = query.order_by(_row.inbox_id, _row.path, _row.id)
    for result in _read(connection, query, filters.manner):
        rows = clips.rows_of(result, filters.manner)
        yield result, [row for row in rows if filters.fit_answer(row.label, row.confidence)]


def results_after(
    connection: Connection, filters: Filters, cursor: Cursor, limit: int = 0
) -> list[Result]:
    """What came after the cursor, oldest first; a limit of 0 is none."""
    later = tuple_(_moment(filters), _row.id) > tuple_(literal(cursor[0]), literal(cursor[1]))
    query = _chosen(filters, clips=False).where(later)
    query = query.order_by(*_order(filters, "oldest"))
    return list(_read(connection, query.limit(limit) if limit else query, filters.manner))


def latest(connection: Connection, filters: Filters) -> Cursor:
    """The cursor of the newest row there is."""
    query = select(_moment(filters), _row.id)
    if filters.status != "all":
        query = query.where(_row.state == filters.status)
    newest = connection.execute(query.order_by(*_order(filters, "newest")).limit(1)).first()
    return _BEFORE_ALL if newest is None else (newest[0], newest[1])


def count_predictions(connection: Connection, filters: Filters) -> int:
    """How many rows a history has."""
    counted = select(func.count()).select_from(_joined(filters)).where(*_of_history(filters))
    return connection.scalar(counted) or 0


def count_predictions_by(connection: Connection, filters: Filters, axis: Axis) -> Counts:
    """How many rows of a history share a value of the axis."""
    keys: dict[Axis, ColumnElement[Any]] = {
        "label": as_told(filters, prediction.c.label, prediction.c.confidence),
        "status": _row.state,
        "checkpoint": checkpoint.c.name,
        "day": func.substr(_moment(filters), 1, DAY_LENGTH),
        "folder": folder_expression(),
    }
    key = keys[axis]
    counted = select(key, func.count()).select_from(_joined(filters)).where(*_of_history(filters))
    found = connection.execute(counted.group_by(key))
    return in_order([(value, number) for value, number in found], axis)


# --- parts of the statements


def _joined(filters: Filters) -> FromClause:
    """Outer joins, so that the planner starts at the recording and drops what is not asked."""
    answer: ColumnElement[bool] = prediction.c.id == _row.prediction_id
    if filters.history:
        answer = or_(answer, prediction.c.recording_id == _row.id)
    return (
        recording.outerjoin(inbox, inbox.c.id == _row.inbox_id)
        .outerjoin(prediction, answer)
        .outerjoin(checkpoint, checkpoint.c.id == prediction.c.checkpoint_id)
    )


def _columns(filters: Filters, clips: bool) -> Select[Any]:
    columns = (
        _row.id,
        _row.path_text,
        _row.state,
        prediction.c.label,
        prediction.c.confidence,
        _row.duration_s,
        _row.sample_rate_hz,
        checkpoint.c.name,
        prediction.c.classified_at if filters.history else _row.answered_at,
        _row.error,
        inbox.c.path_text,
        _row.digest,
        checkpoint.c.digest,
        checkpoint.c.labels,
        prediction.c.scores,
        prediction.c.clip_scores if clips else null(),
        prediction.c.clip_seconds,
        prediction.c.clip_hop_seconds,
        _row.warning,
        case((_row.archived_at.is_not(None), _row.archive_path_text)),
        human_labels(),
        _row.recorded_at,
        _row.channels,
        _row.rms_dbfs,
        _row.peak_dbfs,
        _row.clipped,
    )
    return select(*columns).select_from(_joined(filters))


def _chosen(filters: Filters, clips: bool) -> Select[Any]:
    which = _of_history(filters) if filters.history else clauses(filters)
    return _columns(filters, clips).where(*which)


def _page(
    connection: Connection, filters: Filters, sort: Sort, limit: int, clips: bool
) -> Iterator[Result]:
    """First which, then what there is to say about these."""
    ids = first_ids(connection, filters, sort, limit)
    query = _columns(filters, clips)
    for some in chunks(ids):
        rows = {row[0]: row for row in connection.execute(query.where(_row.id.in_(some)))}
        yield from (_result(rows[recording_id], filters.manner) for recording_id in some)


def _read(connection: Connection, query: Select[Any], manner: DisplayRules) -> Iterator[Result]:
    for row in connection.execution_options(yield_per=_CHUNK_ROWS).execute(query):
        yield _result(row, manner)


def _result(row: Sequence[Any], manner: DisplayRules) -> Result:
    """As columns come from the ledger, told in this manner."""
    values = [*row, manner.site_of(row[_PATH])]
    values[_LABEL] = manner.label_of(values[_LABEL], values[_CONFIDENCE])
    values[_RECORDED] = as_stamp(values[_RECORDED], manner.zone)
    return Result(*values)


def _of_history(filters: Filters) -> Iterator[ColumnElement[bool]]:
    """The filters, of predictions that need not be the current answer."""
    if filters.status != "all":
        yield _row.state == filters.status
    yield from labelled(filters, prediction.c.label, prediction.c.confidence)
    if filters.checkpoint is not None:
        yield made_by(filters.checkpoint)
    yield from confident(filters, prediction.c.confidence)
    yield from timely(filters, _moment(filters))
    if filters.path is not None:
        yield from fitting(filters.path)
    yield from of_sound(filters)
    if filters.wrong:
        yield from contradicted(as_told(filters, prediction.c.label, prediction.c.confidence))


def _moment(filters: Filters) -> ColumnElement[str]:
    if filters.history:
        return func.coalesce(prediction.c.classified_at, _row.answered_at, _row.first_seen_at)
    return moment(filters)


def _order(filters: Filters, sort: Sort) -> tuple[ColumnElement[Any], ...]:
    if sort in ("newest", "oldest") or not filters.history:
        return order(sort, _moment(filters))
    return order(sort, _moment(filters), prediction.c.confidence)
