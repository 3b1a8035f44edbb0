"""Writers of text: tables for people; CSV, JSON and JSON lines for programs."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from storage.errors import StorageError
from storage.values.text import shortened, visible, without_formula

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
        with _published(file) as stream:
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
def _published(file: Path) -> Iterator[TextIO]:
    from storage.home.atomic_write import aside_of

    try:
        with (
            aside_of(file) as handle,
            open(handle, "w", encoding="utf-8", newline="", closefd=False) as stream,
        ):
            yield stream
    except OSError as error:
        raise StorageError(f"cannot write {file}: {error.strerror}") from error


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
        {column: without_formula(column, value) for column, value in record.items()}
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
    console = console_for(stream)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column not in _FOLDED)
    room = _room_for_path(console.width, columns, rows)
    for row in rows:
        cells = [
            shortened(visible(cell), room) if column == "path" else visible(cell)
            for column, cell in zip(columns, row, strict=True)
        ]
        table.add_row(*map(Text, cells))
    console.print(table)
    if foot:
        console.print(Text(foot))


def console_for(stream: TextIO) -> Console:
    """Colours only on a terminal; elsewhere a width that does not depend on where it runs."""
    if stream.isatty():
        return Console(file=stream, highlight=False)
    width = os.environ.get("COLUMNS", "")
    columns = int(width) if width.isdecimal() and int(width) else _WIDTH_WITHOUT_TERMINAL
    return Console(file=stream, width=columns, no_color=True, highlight=False)


def _json(item: Mapping[str, object]) -> str:
    return json.dumps(item, ensure_ascii=False)


def _room_for_path(width: int, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    taken = 0
    for position, column in enumerate(columns):
        if column != "path":
            longest = max([len(column), *(cell_len(row[position]) for row in rows)])
            # A long reason folds into the half that is left to it.
            taken += min(longest, width // 3) if column in _REASONS else longest
    return max(_SHORTEST_PATH, width - taken - _PADDING * len(columns))
