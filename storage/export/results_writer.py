"""`clfd results`: from a request to what is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TextIO

from sqlalchemy import Connection

from storage.database.sqlite import Database
from storage.export.text_formats import TABLE, Format, output, write_records, write_table
from storage.queries.counts import (
    Number,
    count,
    count_by,
    count_in_time,
    count_others,
    has_unmeasured_levels,
    labels_seen,
)
from storage.queries.filters import Axis, Filters, Sort
from storage.queries.result import CLIP_COLUMNS, COLUMNS, ClipOptions, Result
from storage.queries.results import (
    newest_position,
    recordings_with_clips,
    results,
    results_after,
)
from storage.values.text import listed, visible
from storage.values.timestamps import from_stamp

TABLE_LIMIT = 50
EMPTY = "nothing found: the ledger is empty"
_POLL_SECONDS = 1.0
_SHOWN_PARTS = 2  # of a recording, in a table
_FOOT_SECONDS, _OTHERS_SECONDS = 0.1, 0.03


@dataclass(frozen=True)
class ResultsRequest:
    """One question and the format of its answer; a limit of None is the format's own.

    `chosen` columns are all that is written, in their order; without any it is what the format has.
    """

    filters: Filters
    sort: Sort = "newest"
    limit: int | None = None
    clips: ClipOptions | None = None
    format: Format = TABLE
    file: Path | None = None
    chosen: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return self.chosen or self.known_columns

    @property
    def known_columns(self) -> tuple[str, ...]:
        """Those that may be chosen."""
        return CLIP_COLUMNS if self.clips else COLUMNS

    @property
    def rows_limit(self) -> int:
        if self.limit is not None:
            return self.limit
        return TABLE_LIMIT if self.format is TABLE else 0


def write_results(database: Database, request: ResultsRequest) -> str | None:
    """Write what was found; returns a hint when that is nothing."""
    filters = request.filters
    with database.transaction() as connection:
        if request.format.is_of_clips:
            from storage.export.annotation_formats import write_annotations

            clips = recordings_with_clips(connection, filters, request.clips or ClipOptions())
            has_rows = write_annotations(request.format, request.file, clips) > 0
        else:
            found = results(connection, filters, request.sort, request.rows_limit, request.clips)
            first = list(islice(found, 1))
            has_rows = bool(first)
            _write_rows(connection, request, chain(first, found))
        return None if has_rows else _hint(connection, filters)


def write_counts(database: Database, request: ResultsRequest, axis: Axis) -> str | None:
    """Write how many rows share a value; returns a hint when there are none."""
    with database.transaction() as connection:
        counts = count_by(connection, request.filters, axis)
        hint = None if counts else _hint(connection, request.filters)
    objects = [{axis: value, "count": number} for value, number in counts]
    with output(request.file) as stream:
        if request.format is not TABLE:
            write_records(stream, request.format, (axis, "count"), objects)
        elif counts:
            rows = [(str(value or "-"), str(number)) for value, number in counts]
            write_table(stream, (axis, "count"), rows)
    return hint


def follow(
    database: Database,
    request: ResultsRequest,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Write rows as they come, until interrupted or until the reader leaves.

    With a time to begin from those since then come first, so that a reader which was away goes on
    where it was. What comes later is new, whatever its stamp says.
    """
    filters = request.filters
    later = filters if filters.by_recorded else replace(filters, since=None)
    with output(None) as stream:
        if request.format.is_flat:
            write_records(stream, request.format, request.columns, ())
        with database.transaction() as connection:
            position = newest_position(connection)
            if filters.since is not None:
                _write_more(stream, request, results(connection, filters, "oldest"))
        stream.flush()
        while True:
            wait(_POLL_SECONDS)
            with database.transaction() as connection:  # short, so that the WAL can shrink
                found = results_after(connection, later, position)
                position = newest_position(connection)
            _write_more(stream, request, found)
            stream.flush()


def _write_rows(connection: Connection, request: ResultsRequest, rows: Iterable[Result]) -> None:
    if not request.format.is_text:
        is_whole = not request.chosen
        request.format.write(request.file, request.columns, rows, is_whole=is_whole)
        return
    with output(request.file) as stream:
        if request.format is not TABLE:
            write_records(stream, request.format, request.columns, _records(request, rows))
        elif shown := list(rows):
            _write_table(stream, request, shown, foot_of(connection, request, len(shown)))


def _write_more(stream: TextIO, request: ResultsRequest, rows: Iterable[Result]) -> None:
    """Rows behind others of a stream."""
    if request.format is TABLE:
        columns = _table_columns(request)
        stream.writelines("  ".join(_cells(row, columns)) + "\n" for row in rows)
    else:
        records = _records(request, rows)
        write_records(stream, request.format, request.columns, records, header=False)


def _records(request: ResultsRequest, rows: Iterable[Result]) -> Iterator[dict[str, object]]:
    is_plain = request.chosen or request.format.is_flat
    record = Result.record if is_plain else Result.as_object
    return (record(row, request.columns) for row in rows)


def _write_table(stream: TextIO, request: ResultsRequest, rows: list[Result], foot: str) -> None:
    columns = _table_columns(request)
    if not request.chosen:
        extra = ["human_label", *(() if request.clips else ("human_parts",)), "warning"]
        is_filled = {name: any(getattr(row, name) for row in rows) for name in extra}
        columns += tuple(name for name in extra if is_filled[name] and name not in columns)
    write_table(stream, columns, [_cells(row, columns) for row in rows], foot)


def _table_columns(request: ResultsRequest) -> tuple[str, ...]:
    """The few that help a person: what is the same in every row is left out."""
    if request.chosen:
        return request.chosen
    filters = request.filters
    columns = ["time", "path"]
    if filters.status != "done":
        columns.append("status")
    if request.clips:
        columns += ["start_s", "end_s"]
    if filters.status != "pending":
        columns += ["label", "confidence"]
    if filters.by_recorded:
        columns.insert(0, "recorded_at")
    columns += ["human_label"] * filters.wrong
    columns += ["rms_dbfs"] * ((filters.min_level, filters.max_level) != (None, None))
    columns += ["clipped"] * filters.clipped
    if filters.history or filters.checkpoint:
        columns.append("checkpoint")
    if filters.status in ("failed", "all"):
        columns.append("error")
    return tuple(columns)


def _cells(row: Result, columns: tuple[str, ...]) -> list[str]:
    moment = _local(row.classified_at)
    shown = {
        "time": moment,
        "classified_at": moment,
        "recorded_at": _local(row.recorded_at),
        "confidence": "" if row.confidence is None else f"{row.confidence:.3f}",
        "start_s": f"{row.start_s or 0:.1f}",
        "end_s": f"{row.end_s or 0:.1f}",
        "human_parts": listed([*map(str, row.labelled_parts())], _SHOWN_PARTS),
    }
    return [visible(shown.get(column) or _text(getattr(row, column, None))) for column in columns]


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)


def _local(moment: str | None) -> str:
    if moment is None:
        return ""
    return from_stamp(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def foot_of(connection: Connection, request: ResultsRequest, shown: int) -> str:
    """`50 of 400 done (3 failed, 2 pending)`; clips are many to a recording and not counted up."""
    filters = request.filters
    noun = "recordings" if filters.status == "all" else filters.status
    if request.clips:
        total = f"{shown} clips"
    elif filters.history:
        total = f"{shown} of {count(connection, filters)} predictions"
    else:
        total = f"{shown} of {_number(connection, request, shown)} {noun}"
    others = count_others(connection, filters, _OTHERS_SECONDS)
    counts = ", ".join(f"{number} {state}" for state, number in others.items())
    return f"{total} ({counts})" if counts else total


def _number(connection: Connection, request: ResultsRequest, shown: int) -> Number:
    """Less than a page is all there is; and no fewer than those that are shown."""
    if shown < request.rows_limit or not request.rows_limit:
        return Number(shown)
    found = count_in_time(connection, request.filters, _FOOT_SECONDS)
    return replace(found, n=max(found.n, shown))


def _hint(connection: Connection, filters: Filters) -> str:
    """What a person who finds nothing probably wants to know."""
    seen = labels_seen(connection)
    strange = [label for label in filters.labels if label not in seen]
    if strange and seen:
        return f"nothing found: no recording is labelled {', '.join(strange)};" + (
            f" labels given so far: {', '.join(seen)}"
        )
    if filters.by_recorded:
        return "nothing found; recordings that do not tell when they began are left out"
    if filters.needs_levels and has_unmeasured_levels(connection):
        return "nothing found; of what an older version heard no level is known: `clfd rescore`"
    if filters.wrong:
        return "nothing found: no answer that fits differs from what a person says"
    others = ", ".join(f"{n} {state}" for state, n in count_others(connection, filters).items())
    if others:
        return f"nothing found; other recordings: {others} (see --status)"
    if filters == Filters(status=filters.status):
        return f"{EMPTY}; drop audio files into the inbox, then `clfd run`"
    return "nothing found; widen the filters"
