"""The formats of `clfd results`: what each can do, and the writers of those that are text.

The command line, `clfd classify` and the writers read this table. The command line loads it for
every `--help`, and so no library before something is written.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from storage.errors import UnknownFormat
from storage.values.standard_streams import quiet_end_of_stdout
from storage.values.text import visible, without_formula

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH_WITHOUT_TERMINAL = 120
_JSON_COLUMNS = ("recorder", "human_parts")


@contextmanager
def output(file: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that appears only when it is complete.

    A reader that leaves early (`| head`) ends the output quietly. Raises StorageError when the
    file cannot be written.
    """
    if file is not None:
        from storage.home.atomic_write import output_file

        with (
            output_file(file) as handle,
            open(handle, "w", encoding="utf-8", newline="", closefd=False) as stream,
        ):
            yield stream
        return
    with quiet_end_of_stdout():
        yield sys.stdout


def csv_row_writer(stream: TextIO) -> Callable[[Sequence[object]], Any]:
    """Quotes a carriage return as well, which ends a row for readers, and not for Python 3.11."""
    plain = csv.writer(stream, lineterminator="\n").writerow
    quoted = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow

    def write_row(cells: Sequence[object]) -> None:
        has_return = any(isinstance(cell, str) and "\r" in cell for cell in cells)
        (quoted if has_return else plain)(cells)

    return write_row


def write_csv(
    stream: TextIO,
    columns: Sequence[str],
    records: Iterable[Mapping[str, object]],
    header: bool = True,
) -> None:
    write_row = csv_row_writer(stream)
    if header:
        write_row(columns)
    for record in records:
        write_row([without_formula(column, record[column]) for column in columns])


def write_json(stream: TextIO, objects: Iterable[Mapping[str, object]]) -> None:
    """One array, an object a line, written as they come."""
    before = "["
    for item in objects:
        stream.write(f"{before}\n{_json(item)}")
        before = ","
    stream.write("[]\n" if before == "[" else "\n]\n")


def write_jsonl(stream: TextIO, objects: Iterable[Mapping[str, object]]) -> None:
    stream.writelines(f"{_json(item)}\n" for item in objects)


def write_table(
    stream: TextIO, columns: Sequence[str], rows: Sequence[Sequence[str]], foot: str = ""
) -> None:
    """Fits the terminal, as `storage.export.table_layout` has it."""
    from rich.text import Text

    from storage.export.table_layout import table_lines

    console = console_for(stream)
    cells = [[visible(cell) for cell in row] for row in rows]
    for line in table_lines(console, columns, cells):
        console.print(line, no_wrap=True, overflow="ignore", crop=False)
    if foot:
        console.print(Text(foot))


def console_for(stream: TextIO) -> Console:
    """Colours only on a terminal; elsewhere a width that does not depend on where it runs."""
    from rich.console import Console

    if stream.isatty():
        return Console(file=stream, highlight=False)
    width = os.environ.get("COLUMNS", "")
    columns = int(width) if width.isdecimal() and int(width) else _WIDTH_WITHOUT_TERMINAL
    return Console(file=stream, width=columns, no_color=True, highlight=False)


def _json(item: Mapping[str, object]) -> str:
    return json.dumps(nested(item), ensure_ascii=False)


def nested(row: Mapping[str, object]) -> Mapping[str, object]:
    """For JSON: a column that is JSON itself is a part of the row."""
    found = {name: row[name] for name in _JSON_COLUMNS if isinstance(row.get(name), str)}
    return {**row, **{name: json.loads(str(text)) for name, text in found.items()}}


# --- the formats


@dataclass(frozen=True)
class Format:
    """A format of results: what it can do, and what writes it."""

    name: str
    write: Callable[..., Any]
    is_text: bool = False  # of records with any columns: counts and `clfd classify` too
    is_flat: bool = False  # has columns only; others tell `id` and `scores` as well
    is_followed: bool = False  # can be written row by row as they come
    # Has columns of its own, for the clips of done recordings, and no file's suffix asks for it.
    is_of_clips: bool = False
    suffix_beside: str | None = None  # where -o is a folder, of a file for each recording


def write_records(
    stream: TextIO,
    format: Format,
    columns: Sequence[str],
    records: Iterable[Mapping[str, object]],
    header: bool = True,
) -> None:
    """In a format of text for programs; one that is not flat writes whole records."""
    if format.is_flat:
        format.write(stream, columns, records, header)
    else:
        format.write(stream, records)


def _writer(module: str, name: str) -> Callable[..., Any]:
    """`write_NAME` of a module of storage.export, which is loaded when something is written."""

    def write(*args: Any, **options: Any) -> Any:
        return getattr(import_module(f"storage.export.{module}"), f"write_{name}")(*args, **options)

    return write


def _of_clips(name: str, suffix_beside: str | None = None) -> Format:
    writer = _writer("annotation_formats", name)
    return Format(name, writer, is_of_clips=True, suffix_beside=suffix_beside)


TABLE = Format("table", write_table, is_text=True, is_followed=True)
FORMATS = {
    format.name: format
    for format in (
        TABLE,
        Format("csv", write_csv, is_text=True, is_flat=True, is_followed=True),
        Format("json", write_json, is_text=True),
        Format("jsonl", write_jsonl, is_text=True, is_followed=True),
        Format("parquet", _writer("parquet", "parquet")),
        _of_clips("raven", ".Table.1.selections.txt"),
        _of_clips("audacity", ".txt"),
        _of_clips("kaleidoscope"),
    )
}
TEXT_FORMATS = tuple(format.name for format in FORMATS.values() if format.is_text)
FOLLOWED_FORMATS = tuple(format.name for format in FORMATS.values() if format.is_followed)


def format_of(file: Path | None, text_only: bool = False) -> str:
    """The format that a file's suffix asks for; a table where it has none, or `.txt`.

    Raises UnknownFormat for a suffix that means something else.
    """
    suffix = file.suffix.removeprefix(".").lower() if file else ""
    if suffix in ("", "txt"):
        return TABLE.name
    known = [
        format.name
        for format in FORMATS.values()
        if not format.is_of_clips and (format.is_text or not text_only)
    ]
    if suffix not in known:
        raise UnknownFormat(
            f"{file} asks for a format clfd does not write; choose one by --format: "
            + ", ".join(known)
        )
    return suffix
