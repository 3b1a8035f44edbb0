"""The ledger's reads: which recordings, in which order, and how many."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import translate
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any, Literal

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

from storage.tables import checkpoint, inbox, prediction, recording

Status = Literal["done", "failed", "pending", "superseded", "all"]
Sort = Literal["newest", "oldest", "confidence", "path"]
Axis = Literal["label", "status", "checkpoint", "day", "folder"]
Cursor = tuple[str, int]  # moment, recording

COLUMNS = (
    "path",
    "status",
    "label",
    "confidence",
    "duration_s",
    "sample_rate_hz",
    "checkpoint",
    "classified_at",
    "error",
    "inbox",
    "digest",
    "checkpoint_digest",
    "warning",
    "archived_path",
)
CLIP_COLUMNS = (*COLUMNS, "start_s", "end_s")

_CHUNK_ROWS = 1000
_BEFORE_ALL: Cursor = ("", 0)
_row = recording.c


@dataclass(frozen=True)
class Filters:
    """Which recordings. Times are stamps and `until` is exclusive.

    `checkpoint` is the start of a name or digest. `history` asks for every prediction of a
    recording instead of its current answer.
    """

    status: Status = "done"
    labels: tuple[str, ...] = ()
    min_confidence: float | None = None
    max_confidence: float | None = None
    since: str | None = None
    until: str | None = None
    path: str | None = None
    checkpoint: str | None = None
    history: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """One answer of one recording, or one clip of it, as it is shown."""

    id: int
    path: str
    status: str
    label: str | None
    confidence: float | None
    duration_s: float | None
    sample_rate_hz: int | None
    checkpoint: str | None
    classified_at: str | None
    error: str | None
    inbox: str
    digest: str | None
    checkpoint_digest: str | None
    labels_json: str | None
    packed_scores: bytes | None  # float32 (L,)
    packed_clip_scores: bytes | None  # float16 (C, L); read only where clips are asked for
    clip_seconds: float | None
    clip_hop_seconds: float | None
    warning: str | None
    archived_path: str | None = None
    start_s: float | None = None
    end_s: float | None = None

    def record(self, columns: tuple[str, ...]) -> dict[str, object]:
        """The columns of the contract, numbers rounded to what was stored."""
        return {column: _rounded(getattr(self, column)) for column in columns}

    def scores(self) -> dict[str, float] | None:
        """Label to probability."""
        if self.labels_json is None or self.packed_scores is None:
            return None
        labels = _labels(self.labels_json)
        values = struct.unpack(f"<{len(labels)}f", self.packed_scores)
        return {label: round(value, 6) for label, value in zip(labels, values, strict=True)}

    def clips(self) -> Iterator[Result]:
        """One result for each clip, in time; nothing where there is no answer."""
        if self.labels_json is None or not self.packed_clip_scores:
            return
        labels = _labels(self.labels_json)
        row = struct.Struct(f"<{len(labels)}e")
        for position, values in enumerate(row.iter_unpack(self.packed_clip_scores)):
            best = max(range(len(labels)), key=values.__getitem__)
            start_s = position * (self.clip_hop_seconds or 0.0)
            yield replace(
                self,
                label=labels[best],
                confidence=values[best],
                packed_scores=struct.pack(f"<{len(labels)}f", *values),
                packed_clip_scores=None,
                start_s=start_s,
                end_s=min(start_s + (self.clip_seconds or 0.0), self.duration_s or float("inf")),
            )


def results(
    connection: Connection,
    filters: Filters,
    sort: Sort = "newest",
    limit: int = 0,
    clips: bool = False,
) -> Iterator[Result]:
    """Read in chunks, so that memory does not grow with the ledger; a limit of 0 is none.

    With `clips` each row is a clip of the recordings chosen, and the limit counts clips.
    """
    query = _chosen(filters, clips).order_by(*_order(filters, sort))
    found = _read(connection, query.limit(limit) if limit else query)
    if not clips:
        yield from found
        return
    left = limit or None
    for result in found:
        for clip in result.clips():
            yield clip
            if left is not None and (left := left - 1) == 0:
                return


def results_after(connection: Connection, filters: Filters, cursor: Cursor) -> list[Result]:
    """What came after the cursor, oldest first."""
    later = tuple_(_moment(filters), _row.id) > tuple_(literal(cursor[0]), literal(cursor[1]))
    query = _chosen(filters, clips=False).where(later)
    return list(_read(connection, query.order_by(*_order(filters, "oldest"))))


def latest(connection: Connection, filters: Filters) -> Cursor:
    """The cursor of the newest row there is."""
    query = _of_status(select(_moment(filters), _row.id), filters)
    newest = connection.execute(query.order_by(*_order(filters, "newest")).limit(1)).first()
    return _BEFORE_ALL if newest is None else (newest[0], newest[1])


def count(connection: Connection, filters: Filters) -> int:
    """How many rows `results` has without a limit."""
    counted = _where(select(func.count()).select_from(_joined(filters)), filters)
    return connection.scalar(counted) or 0


def count_others(connection: Connection, filters: Filters) -> dict[str, int]:
    """The recordings that the status leaves out, per state, of the same paths and times."""
    wider = Filters(status="all", since=filters.since, until=filters.until, path=filters.path)
    query = select(_row.state, func.count()).select_from(_joined(wider)).group_by(_row.state)
    counts = dict(_pairs(connection, _where(query, wider)))
    return {
        state: counts[state]
        for state in ("done", "failed", "pending", "superseded")
        if state in counts and filters.status not in (state, "all")
    }


def count_by(connection: Connection, filters: Filters, axis: Axis) -> list[tuple[str | None, int]]:
    """How many rows share a value of the axis: most first, but days (UTC) in order."""
    if axis == "folder":
        counts = _count_folders(connection, filters)
    else:
        key = _axis(filters, axis)
        query = select(key, func.count()).select_from(_joined(filters)).group_by(key)
        counts = _pairs(connection, _where(query, filters))
    if axis == "day":
        return sorted(counts, key=lambda pair: pair[0] or "")
    return sorted(counts, key=lambda pair: (-pair[1], pair[0] or ""))


def labels_seen(connection: Connection) -> list[str]:
    """Every label that has been given, in alphabetical order."""
    return list(connection.scalars(select(prediction.c.label).distinct().order_by("label")))


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


def _chosen(filters: Filters, clips: bool) -> Select[Any]:
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
    )
    return _where(select(*columns).select_from(_joined(filters)), filters)


def _read(connection: Connection, query: Select[Any]) -> Iterator[Result]:
    for row in connection.execution_options(yield_per=_CHUNK_ROWS).execute(query):
        yield Result(*row)


def _where(query: Select[Any], filters: Filters) -> Select[Any]:
    return _of_status(query, filters).where(*_clauses(filters))


def _clauses(filters: Filters) -> Iterator[ColumnElement[bool]]:
    if filters.labels:
        yield prediction.c.label.in_(filters.labels)
    if filters.min_confidence is not None:
        yield prediction.c.confidence >= filters.min_confidence
    if filters.max_confidence is not None:
        yield prediction.c.confidence <= filters.max_confidence
    if filters.since is not None:
        yield _moment(filters) >= filters.since
    if filters.until is not None:
        yield _moment(filters) < filters.until
    if filters.path is not None:
        yield _fits(filters.path)
    if filters.checkpoint is not None:
        yield _made_by(filters.checkpoint)


def _of_status(query: Select[Any], filters: Filters) -> Select[Any]:
    return query if filters.status == "all" else query.where(_row.state == filters.status)


def _moment(filters: Filters) -> ColumnElement[str]:
    """When it came about: an answer's time, or that of being seen where there is none."""
    if filters.history:
        return func.coalesce(prediction.c.classified_at, _row.answered_at, _row.first_seen_at)
    if filters.status == "pending":
        return _row.first_seen_at
    if filters.status == "all":
        return func.coalesce(_row.answered_at, _row.first_seen_at)
    return _row.answered_at


def _order(filters: Filters, sort: Sort) -> tuple[ColumnElement[Any], ...]:
    match sort:
        case "newest":
            return _moment(filters).desc(), _row.id.desc()
        case "oldest":
            return _moment(filters).asc(), _row.id.asc()
        case "confidence":
            return prediction.c.confidence.desc().nulls_last(), _row.id.asc()
        case "path":
            return _row.path_text.asc(), _row.id.asc()


def _fits(glob: str) -> ColumnElement[bool]:
    path: ColumnElement[str] = _row.path_text
    if glob.startswith("/"):
        path = inbox.c.path_text + "/" + _row.path_text
    return path.regexp_match(rf"\A{translate(glob)}")


def _made_by(reference: str) -> ColumnElement[bool]:
    return or_(
        checkpoint.c.name.startswith(reference, autoescape=True),
        checkpoint.c.digest.startswith(reference, autoescape=True),
    )


def _axis(filters: Filters, axis: Axis) -> ColumnElement[Any]:
    axes: dict[Axis, ColumnElement[Any]] = {
        "label": prediction.c.label,
        "status": _row.state,
        "checkpoint": checkpoint.c.name,
        "day": func.substr(_moment(filters), 1, len("2026-01-31")),
    }
    return axes[axis]


def _pairs(connection: Connection, query: Select[Any]) -> list[tuple[Any, int]]:
    return [(row[0], row[1]) for row in connection.execute(query)]


def _count_folders(connection: Connection, filters: Filters) -> list[tuple[str | None, int]]:
    query = _where(select(_row.path_text).select_from(_joined(filters)), filters)
    paths = connection.execution_options(yield_per=_CHUNK_ROWS).execute(query).scalars()
    return list(Counter(str(PurePosixPath(path).parent) for path in paths).items())


@lru_cache(maxsize=64)
def _labels(labels_json: str) -> tuple[str, ...]:
    return tuple(json.loads(labels_json))


def _rounded(value: object) -> object:
    return round(value, 6) if isinstance(value, float) else value
