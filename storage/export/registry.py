"""`clfd results`: from what was asked to what is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

from sqlalchemy import Connection

from storage.database.engine import Database
from storage.export.annotation_formats import FIELD_FORMATS, write_field_format
from storage.export.parquet import write_parquet
from storage.export.text_formats import output, write_csv, write_json, write_jsonl, write_table
from storage.queries.clips import ClipOptions
from storage.queries.counts import count_by, count_others, has_unheard_levels, labels_seen
from storage.queries.filters import Axis, Filters, Sort
from storage.queries.glancing import Number, glance, glance_at_others
from storage.queries.result import CLIP_COLUMNS, COLUMNS, Result
from storage.queries.results import (
    count_predictions,
    count_predictions_by,
    latest,
    results,
    results_after,
    sounds,
)
from storage.values.text import visible
from storage.values.timestamps import from_stamp

Format = Literal["table", "csv", "json", "jsonl", "parquet", "raven", "audacity", "kaleidoscope"]
TABLE_LIMIT = 50
_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Listing:
    """One question and the shape of its answer; a limit of None is the format's own.

    `chosen` columns are all that is told, in their order; without any it is what the format tells.
    """

    filters: Filters
    sort: Sort = "newest"
    limit: int | None = None
    clips: ClipOptions | None = None
    format: Format = "table"
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
        return TABLE_LIMIT if self.format == "table" else 0


def write_results(database: Database, listing: Listing) -> str | None:
    """Write what was found; returns a hint when that is nothing."""
    if listing.format in FIELD_FORMATS:
        return _write_for_the_field(database, listing)
    with database.transaction() as connection:
        found = results(
            connection, listing.filters, listing.sort, listing.rows_limit, listing.clips
        )
        first = next(found, None)
        rows = _with_first(first, found)
        if listing.format == "parquet":
            write_parquet(listing.file, listing.columns, rows, is_whole=not listing.chosen)
        else:
            _write_text(connection, listing, rows)
        return _hint(connection, listing.filters) if first is None else None


def _write_for_the_field(database: Database, listing: Listing) -> str | None:
    with database.transaction() as connection:
        found = sounds(connection, listing.filters, listing.clips or ClipOptions())
        if write_field_format(listing.format, listing.file, found):  # type: ignore[arg-type]
            return None
        return _hint(connection, listing.filters)


def write_counts(database: Database, listing: Listing, axis: Axis) -> str | None:
    """Write how many rows share a value; returns a hint when there are none."""
    with database.transaction() as connection:
        counting = count_predictions_by if listing.filters.history else count_by
        counts = counting(connection, listing.filters, axis)
        hint = None if counts else _hint(connection, listing.filters)
    objects = [{axis: value, "count": number} for value, number in counts]
    with output(listing.file) as stream:
        match listing.format:
            case "csv":
                write_csv(stream, (axis, "count"), objects)
            case "json":
                write_json(stream, objects)
            case "jsonl":
                write_jsonl(stream, objects)
            case "table" if counts:
                rows = [(str(value or "-"), str(number)) for value, number in counts]
                write_table(stream, (axis, "count"), rows)
    return hint


def follow(
    database: Database,
    listing: Listing,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Write rows as they come, until interrupted or until the reader leaves.

    With a time to begin from those since then come first, so that a reader which was away goes on
    where it was.
    """
    with output(None) as stream:
        if listing.format == "csv":
            write_csv(stream, listing.columns, ())
        with database.transaction() as connection:
            cursor = latest(connection, listing.filters)
            if listing.filters.since is not None:
                _write_more(stream, listing, results(connection, listing.filters, "oldest"))
        stream.flush()
        while True:
            wait(_POLL_SECONDS)
            with database.transaction() as connection:  # short, so that the WAL can shrink
                found = results_after(connection, listing.filters, cursor)
                cursor = latest(connection, listing.filters) if found else cursor
            _write_more(stream, listing, found)
            stream.flush()


def _write_text(connection: Connection, listing: Listing, rows: Iterable[Result]) -> None:
    with output(listing.file) as stream:
        if listing.format != "table":
            _write_data(stream, listing, rows)
        elif shown := list(rows):
            _write_table(stream, listing, shown, foot_of(connection, listing, len(shown)))


def _with_first(first: Result | None, rest: Iterator[Result]) -> Iterator[Result]:
    if first is not None:
        yield first
        yield from rest


def _write_data(stream: TextIO, listing: Listing, rows: Iterable[Result]) -> None:
    match listing.format:
        case "csv":
            records = (row.record(listing.columns) for row in rows)
            write_csv(stream, listing.columns, records)
        case "json":
            write_json(stream, _objects(listing, rows))
        case _:
            write_jsonl(stream, _objects(listing, rows))


def _write_more(stream: TextIO, listing: Listing, rows: Iterable[Result]) -> None:
    match listing.format:
        case "csv":
            records = (row.record(listing.columns) for row in rows)
            write_csv(stream, listing.columns, records, header=False)
        case "table":
            columns = _table_columns(listing)
            stream.writelines("  ".join(_cells(row, columns)) + "\n" for row in rows)
        case _:
            write_jsonl(stream, _objects(listing, rows))


def _objects(listing: Listing, rows: Iterable[Result]) -> Iterator[dict[str, object]]:
    tell = Result.record if listing.chosen else as_object
    return (tell(row, listing.columns) for row in rows)


def as_object(row: Result, columns: tuple[str, ...]) -> dict[str, object]:
    """A row as JSON has it."""
    return {"id": row.id, **row.record(columns), "scores": row.scores()}


def _write_table(stream: TextIO, listing: Listing, rows: list[Result], foot: str) -> None:
    columns = _table_columns(listing)
    if not listing.chosen:
        told = [name for name in ("human_label", "warning") if name not in columns]
        columns += tuple(name for name in told if any(getattr(row, name) for row in rows))
    write_table(stream, columns, [_cells(row, columns) for row in rows], foot)


def _table_columns(listing: Listing) -> tuple[str, ...]:
    """The few that help a person: what is the same in every row is left out."""
    if listing.chosen:
        return listing.chosen
    filters = listing.filters
    columns = ["time", "path"]
    if filters.status != "done":
        columns.append("status")
    if listing.clips:
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


def foot_of(connection: Connection, listing: Listing, shown: int) -> str:
    """`50 of 400 done (3 failed, 2 pending)`; clips are many to a recording and not counted up."""
    filters = listing.filters
    noun = "recordings" if filters.status == "all" else filters.status
    if listing.clips:
        total = f"{shown} clips"
    elif filters.history:
        total = f"{shown} of {count_predictions(connection, filters)} predictions"
    else:
        total = f"{shown} of {_number(connection, listing, shown)} {noun}"
    others = glance_at_others(connection, filters)
    listed = ", ".join(f"{number} {state}" for state, number in others.items())
    return f"{total} ({listed})" if listed else total


def _number(connection: Connection, listing: Listing, shown: int) -> Number:
    """Less than a page is all there is; and no fewer than those that are shown."""
    if shown < listing.rows_limit or not listing.rows_limit:
        return Number(shown)
    return glance(connection, listing.filters).or_more(shown)


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
    if filters.needs_levels and has_unheard_levels(connection):
        return "nothing found; of what an older version heard no level is known: `clfd rescore`"
    if filters.wrong:
        return "nothing found: no answer that fits differs from what a person says"
    others = ", ".join(f"{n} {state}" for state, n in count_others(connection, filters).items())
    if others:
        return f"nothing found; other recordings: {others} (see --status)"
    if filters == Filters(status=filters.status):
        return (
            "nothing found: the ledger is empty; drop audio files into the inbox, then `clfd run`"
        )
    return "nothing found; widen the filters"
