"""`clfd results`: from a request to what is written."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TextIO

from sqlalchemy import Connection

from storage.database.database import Database
from storage.database.decision_sql import hides_labels, rules_within
from storage.export.text_formats import TABLE, Format, output, write_records, write_table
from storage.labels.known_labels import answered_labels, checkpoint_labels
from storage.queries.clips import SEVERAL_CLIPS, ClipOptions, recordings_to_read
from storage.queries.counts import (
    Number,
    count,
    count_by,
    count_clips_by,
    count_in_time,
    count_others,
    has_unmeasured_levels,
)
from storage.queries.disagreements import names_that_answered
from storage.queries.filters import Axis, Filters, Sort, path_prefix
from storage.queries.result import CLIP_COLUMNS, COLUMNS, Result
from storage.queries.results import (
    newest_position,
    recordings_with_clips,
    results,
    results_after,
)
from storage.values.decision import FLOOR, NONE, SEPARATOR, UNKNOWN, says_nothing
from storage.values.progress import ProgressTicker, status_line
from storage.values.text import counted, listed, visible
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
    Parquet may have the embeddings behind them.
    """

    filters: Filters
    sort: Sort = "newest"
    limit: int | None = None
    clips: ClipOptions | None = None
    format: Format = TABLE
    file: Path | None = None
    chosen: tuple[str, ...] = ()
    has_embeddings: bool = False
    shows_progress: bool = False

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
    filters, options = request.filters, request.clips
    with database.transaction() as connection, _reading(connection, request) as reading:
        if request.format.is_of_clips:
            from storage.export.annotation_formats import write_annotations

            clips = recordings_with_clips(
                connection, filters, options or ClipOptions(), reading.advance
            )
            has_rows = write_annotations(request.format, request.file, clips) > 0
        else:
            limit = request.rows_limit
            found = results(connection, filters, request.sort, limit, options, reading.advance)
            first = list(islice(found, 1))
            has_rows = bool(first)
            _write_rows(connection, request, chain(first, found), reading)
        return None if has_rows else _hint(connection, request, reading.n_recordings)


def write_counts(database: Database, request: ResultsRequest, axis: Axis) -> str | None:
    """Write how many rows share a value; returns a hint when there are none."""
    filters, options = request.filters, request.clips
    with database.transaction() as connection, _reading(connection, request) as reading:
        counts = (
            count_by(connection, filters, axis)
            if options is None
            else count_clips_by(connection, filters, options, axis, reading.advance)
        )
        hint = None if counts else _hint(connection, request, reading.n_recordings)
        is_exact = axis != "label" or not hides_labels(connection, filters.rules)
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
def _reading(connection: Connection, request: ResultsRequest) -> Iterator[_Reading]:
    """On a terminal, unless rows pass by there as they are read."""
    is_table, is_screen = request.format is TABLE, request.file is None and sys.stdout.isatty()
    is_shown = request.shows_progress and request.clips is not None and sys.stderr.isatty()
    is_shown = is_shown and (is_table or not is_screen)
    total = None
    if is_shown:
        options = None if request.format.is_of_clips else request.clips
        wide = recordings_to_read(connection, request.filters, options)
        total = count_in_time(connection, wide, _FOOT_SECONDS)
    with status_line(is_shown) as show:
        yield _Reading(show, total)


def _write_rows(
    connection: Connection, request: ResultsRequest, rows: Iterable[Result], reading: _Reading
) -> None:
    if not request.format.is_text:
        if request.has_embeddings:
            from storage.queries.embeddings import with_embeddings

            rows = with_embeddings(connection, rows)
        about = not request.chosen, request.has_embeddings
        request.format.write(request.file, request.columns, rows, *about)
        return
    with output(request.file) as stream:
        if request.format is not TABLE:
            write_records(stream, request.format, request.columns, _records(request, rows))
        elif shown := list(rows):
            reading.end()
            foot = foot_of(connection, request, len(shown), reading.n_recordings)
            if request.clips is None:
                foot += _remark_on_length(shown)
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


def foot_of(connection: Connection, request: ResultsRequest, shown: int, n_read: int = 0) -> str:
    """`50 of 400 done (3 failed, 2 pending)`; of clips, how many recordings were read for them."""
    filters = request.filters
    if request.clips:
        total = f"{counted(shown, 'clip')}, {counted(n_read, 'recording')} read"
    elif filters.history:
        total = f"{shown} of {counted(count(connection, filters), 'prediction')}"
    else:
        is_any, number = filters.status == "all", _number(connection, request, shown)
        total = f"{shown} of "
        total += counted(number, "recording") if is_any else f"{number} {filters.status}"
    others = count_others(connection, filters, _OTHERS_SECONDS)
    states = ", ".join(f"{number} {state}" for state, number in others.items())
    return f"{total} ({states})" if states else total


def _remark_on_length(rows: Sequence[Result]) -> str:
    """What one answer over many clips does not tell."""
    n_clips = max(row.n_clips for row in rows)
    if n_clips < SEVERAL_CLIPS:
        return ""
    return f"\nanswers are of up to {n_clips} clips; --clips shows when"


def _number(connection: Connection, request: ResultsRequest, shown: int) -> Number:
    """Less than a page is all there is; and no fewer than those that are shown."""
    if shown < request.rows_limit or not request.rows_limit:
        return Number(shown)
    found = count_in_time(connection, request.filters, _FOOT_SECONDS)
    return replace(found, n=max(found.n, shown))


def _hint(connection: Connection, request: ResultsRequest, n_read: int) -> str:
    """What a person who finds nothing probably wants to know."""
    filters = request.filters
    if strange := strange_name(connection, filters, request.clips is not None):
        return strange
    if filters.since and filters.until and filters.since >= filters.until:
        return "nothing found: the period ends before it begins; give an earlier --since"
    if strange := _strange_path(connection, filters):
        return f"nothing found: {strange}"
    if n_read:
        return f"nothing found: no clip fits, in {counted(n_read, 'recording')}"
    if filters.by_recorded:
        return "nothing found: no recording that tells when it began is of that time"
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


def strange_name(connection: Connection, filters: Filters, is_of_clips: bool) -> str | None:
    """A hint where nothing was found since nothing has the label, or the checkpoint, asked for."""
    labels = _strange_labels(connection, filters, is_of_clips)
    strange = labels or _strange_checkpoint(connection, filters)
    return strange and f"nothing found: {strange}"


def _strange_labels(connection: Connection, filters: Filters, is_of_clips: bool) -> str | None:
    """Of the labels that are asked for, those that nothing has: why, and which there are."""
    rules = rules_within(connection, filters.rules)
    known = checkpoint_labels(connection)
    given = known if is_of_clips else answered_labels(connection)
    shown = {*given, *([UNKNOWN] * rules.has_thresholds), *([NONE] * (not rules.one_label))}
    strange = [label for label in filters.labels if label not in shown]
    if not strange or not given:
        return None
    if is_of_clips:
        return f"no checkpoint knows {', '.join(strange)}; labels: {listed(given, 50)}"
    hint = "; --clips asks their clips" if {*strange} & {*known} else ""
    if any(SEPARATOR in label for label in strange):
        hint = "; --label takes one of them, and may be repeated for recordings with any"
    elif any(map(says_nothing, strange)):
        hint = f"; what holds nothing is told as {NONE}"
    return (
        f"no recording is labelled {', '.join(strange)}; labels given so far:"
        f" {listed(given, 50)}{hint}"
    )


def _strange_checkpoint(connection: Connection, filters: Filters) -> str | None:
    """Of one that has answered nothing: which ones have."""
    asked = filters.checkpoint
    if asked is None or count(connection, Filters("all", checkpoint=asked, history=True)):
        return None
    return f"no checkpoint {asked} has answered; those that have: {names_that_answered(connection)}"


def _strange_path(connection: Connection, filters: Filters) -> str | None:
    """Of a glob that fits no path; without a * it was probably meant as a folder."""
    path = filters.path
    if path is None or count(connection, Filters("all", path=path)):
        return None
    shown = visible(path)
    if path_prefix(path) != path:
        return f"no path fits {shown}, and --path is a glob over the whole path in the inbox"
    return (
        f"no path is {shown}, and --path is a glob over the whole path;"
        f" '{shown.rstrip('/')}/*' is all that lies in the folder"
    )
