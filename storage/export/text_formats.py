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
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from storage.errors import StorageError, UnknownFormat
from storage.values.text import visible, without_formula

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH_WITHOUT_TERMINAL = 120
_SHORTEST_PATH = 16
_REASONS = ("error", "warning")
_FOLDED = ("path", "value", *_REASONS)
_PADDING = 3


@contextmanager
def output(file: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that appears only when it is complete.

    A reader that leaves early (`| head`) ends the output quietly. Raises StorageError when the
    file cannot be written.
    """
    if file is not None:
        with (
            atomic_output(file) as handle,
            open(handle, "w", encoding="utf-8", newline="", closefd=False) as stream,
        ):
            yield stream
        return
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that knows no Unicode
    with quiet_end_of_stdout():
        yield sys.stdout


@contextmanager
def quiet_end_of_stdout() -> Iterator[None]:
    """A reader that leaves ends what the body writes, and is no error."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more when it ends, and would complain there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def atomic_output(file: Path) -> Iterator[int]:
    """A descriptor of what becomes the file when the body has ended; errors as of `output`."""
    from storage.home.atomic_write import aside_of

    try:
        with aside_of(file) as handle:
            yield handle
    except OSError as error:
        raise StorageError(f"cannot write {file}: {error.strerror or error}") from error


def write_csv(
    stream: TextIO,
    columns: Sequence[str],
    records: Iterable[Mapping[str, object]],
    header: bool = True,
) -> None:
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(
        {column: without_formula(column, record[column]) for column in columns}
        for record in records
    )


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
    """Fits the terminal: `path` is shortened from the left, other long texts are folded."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    console = console_for(stream)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column not in _FOLDED)
    room = _room_for_path(console.width, columns, rows)
    for row in rows:
        cells = [
            _shortened(visible(cell), room) if column == "path" else visible(cell)
            for column, cell in zip(columns, row, strict=True)
        ]
        table.add_row(*map(Text, cells))
    console.print(table)
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
    return json.dumps(item, ensure_ascii=False)


def _room_for_path(width: int, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    from rich.cells import cell_len

    taken = 0
    for position, column in enumerate(columns):
        if column != "path":
            longest = max([len(column), *(cell_len(row[position]) for row in rows)])
            # A long reason folds into the half that is left to it.
            taken += min(longest, width // 3) if column in _REASONS else longest
    return max(_SHORTEST_PATH, width - taken - _PADDING * len(columns))


def _shortened(text: str, width: int) -> str:
    """The end of a path says more than its beginning."""
    from rich.cells import cell_len

    if cell_len(text) <= width:
        return text
    while text and cell_len(text) > width - 1:
        text = text[1:]
    return f"…{text}"


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
