"""`clfd results`: from a request to what is written."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, islice
from typing import TextIO

from storage.database.database import Database
from storage.export.results_remarks import FOOT_SECONDS, foot_of, hint_of, remark_on_length
from storage.export.results_request import ResultsRequest
from storage.export.results_source import ResultsSource
from storage.export.text_formats import TABLE, output, write_records, write_table
from storage.queries.clips import ClipOptions
from storage.queries.counts import Number
from storage.queries.filters import Axis
from storage.queries.result import Result
from storage.queries.results import newest_position, results, results_after
from storage.values.decision import FLOOR
from storage.values.progress import ProgressTicker, status_line
from storage.values.text import counted, listed, visible
from storage.values.timestamps import from_stamp

_POLL_SECONDS = 1.0
_SHOWN_PARTS = 2  # of a recording, in a table


def write_results(source: ResultsSource, request: ResultsRequest) -> str | None:
    """Write what was found; returns a hint when that is nothing."""
    filters, options = request.filters, request.clips
    with _reading(source, request) as reading:
        if request.format.is_of_clips:
            from storage.export.annotation_formats import write_annotations

            clips = source.recordings_with_clips(filters, options or ClipOptions(), reading.advance)
            has_rows = write_annotations(request.format, request.file, clips) > 0
        else:
            limit = request.rows_limit
            found = source.results(filters, request.sort, limit, options, reading.advance)
            first = list(islice(found, 1))
            has_rows = bool(first)
            _write_rows(source, request, chain(first, found), reading)
        return None if has_rows else hint_of(source, request, reading.n_recordings)


def write_counts(source: ResultsSource, request: ResultsRequest, axis: Axis) -> str | None:
    """Write how many rows share a value; returns a hint when there are none."""
    filters, options = request.filters, request.clips
    with _reading(source, request) as reading:
        counts = (
            source.count_by(filters, axis)
            if options is None
            else source.count_clips_by(filters, options, axis, reading.advance)
        )
        hint = None if counts else hint_of(source, request, reading.n_recordings)
        is_exact = axis != "label" or not source.hides_labels(filters.rules)
    if counts and not is_exact:
        hint = f"at least so many: no label below {FLOOR} is kept, and a threshold is lower"
    objects = [{axis: value, "count": number} for value, number in counts]
    with output(request.file) as stream:
        if request.format is not TABLE:
            write_records(stream, request.format, (axis, "count"), objects)
        elif counts:
            rows = [(str(value or "-"), str(Number(number, is_exact))) for value, number in counts]
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


class _Reading:
    """Of how many recordings the clips were read, and a line that says how far that is."""

    def __init__(self, show: Callable[[str], None], total: Number | None) -> None:
        self.n_recordings = 0
        self._show = show
        self._ticker = ProgressTicker(show)
        self._total = total

    def advance(self) -> None:
        self.n_recordings += 1
        if self._total is not None:
            of = f"of {counted(self._total, 'recording')}"
            self._ticker.tick(f"reading clips: {self.n_recordings} {of}")

    def end(self) -> None:
        self._show("")


@contextmanager
def _reading(source: ResultsSource, request: ResultsRequest) -> Iterator[_Reading]:
    """On a terminal, unless rows pass by there as they are read."""
    is_table, is_screen = request.format is TABLE, request.file is None and sys.stdout.isatty()
    is_shown = request.shows_progress and request.clips is not None and sys.stderr.isatty()
    is_shown = is_shown and (is_table or not is_screen)
    total = None
    if is_shown:
        options = None if request.format.is_of_clips else request.clips
        wide = source.recordings_to_read(request.filters, options)
        total = source.count_in_time(wide, FOOT_SECONDS)
    with status_line(is_shown) as show:
        yield _Reading(show, total)


def _write_rows(
    source: ResultsSource, request: ResultsRequest, rows: Iterable[Result], reading: _Reading
) -> None:
    if not request.format.is_text:
        if request.has_embeddings:
            rows = source.with_embeddings(rows)
        about = not request.chosen, request.has_embeddings
        request.format.write(request.file, request.columns, rows, *about)
        return
    with output(request.file) as stream:
        if request.format is not TABLE:
            write_records(stream, request.format, request.columns, _records(request, rows))
        elif shown := list(rows):
            reading.end()
            foot = foot_of(source, request, len(shown), reading.n_recordings)
            if request.clips is None:
                foot += remark_on_length(shown)
            _write_table(stream, request, shown, foot)


def _write_more(stream: TextIO, request: ResultsRequest, rows: Iterable[Result]) -> None:
    """Rows behind others of a stream."""
    if request.format is TABLE:
        columns = _table_columns(request)
        stream.writelines("  ".join(_cells(row, columns)).rstrip() + "\n" for row in rows)
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
        if any(len(row.labels or ()) > 1 for row in rows):
            behind = columns.index("confidence") + 1
            columns = (*columns[:behind], "labels", *columns[behind:])
        columns = tuple(name for name in columns if any(_cells(row, (name,))[0] for row in rows))
        if "clip_at" in columns:
            columns = tuple(name for name in columns if name != "time")
    write_table(stream, columns, [_cells(row, columns) for row in rows], foot)


def _table_columns(request: ResultsRequest) -> tuple[str, ...]:
    """The few that help a person: what is the same in every row is left out."""
    if request.chosen:
        return request.chosen
    filters = request.filters
    columns = ["clip_at", "time"] if request.clips else ["time"]
    if filters.by_recorded and not request.clips:
        columns = ["recorded_at"]
    columns.append("path")
    if filters.status != "done":
        columns.append("status")
    if request.clips:
        columns += ["start_s", "end_s"]
    if filters.status != "pending":
        columns += ["label", "confidence"]
    columns += ["rms_dbfs"] * ((filters.min_level, filters.max_level) != (None, None))
    columns += ["clipped"] * filters.clipped
    if filters.history or filters.checkpoint:
        columns.append("checkpoint")
    parts = [] if request.clips else ["human_parts"]
    return (*columns, "human_label", *parts, "error", "warning")


def _cells(row: Result, columns: tuple[str, ...]) -> list[str]:
    moment = _local(row.classified_at)
    shown = {
        "time": moment,
        "classified_at": moment,
        "recorded_at": _local(row.recorded_at),
        "clip_at": _local(row.clip_at),
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
