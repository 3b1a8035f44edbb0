"""Tables of labels, of spreadsheets and of other programs, as rows of values.

Understood are CSV as Excel writes it anywhere, Raven's and BirdNET's selection tables, Audacity's
label tracks and Kaleidoscope's CSV.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TypeVar

from storage.errors import StorageError
from storage.labels.label_names import read_label
from storage.labels.tables.label_cells import (
    number,
    read_fold,
    read_group,
    read_seconds,
    read_split,
)
from storage.labels.tables.label_columns import LabelColumns, find_columns
from storage.labels.tables.table_text import TableText, open_table
from storage.values.text import visible, without_guard

_DELIMITERS = ",;\t|"
_SEPARATOR_LINE = re.compile(r'"?sep=([^\w\s"]|\t)"?', re.IGNORECASE)  # Excel's, before the header
# Endings by which a table is of the sound that is named before them.
_TABLE_ENDING = re.compile(
    r"((\.table\.\d+)?\.selections\.txt|\.birdnet\.(results|selection\.table)(\.\w+)*|\.txt|\.tsv"
    r"|(?<=\.wav)\.csv)$",
    re.IGNORECASE,
)
MAX_CELL_CHARACTERS = 4096  # as long as a path may be
_SHOWN = 100  # of a cell that is told

T = TypeVar("T")


class LabelTableError(StorageError):
    """A table that cannot be used as a whole, with a line for each problem."""

    def __init__(self, file: Path, problems: list[str]) -> None:
        super().__init__(f"{file}: {'; '.join(problems)}")
        self.problems = problems


class CellProblem(NamedTuple):
    """`column` by our name; the line has row, column and reason."""

    column: str
    line: str


@dataclass(frozen=True)
class LabelRow:
    """A label and what it is of: the end of a whole recording is infinite.

    `number` counts as a spreadsheet does, the header being 1. The sound is named by a `path`, or by
    a `name` below `folders`, of which the last `n_sure` are not to be doubted.
    """

    number: int
    label: str
    path: str = ""
    name: str = ""
    folders: tuple[str, ...] = ()
    n_sure: int = 0
    start_s: float = 0.0
    end_s: float = math.inf
    fold: int | None = None
    group: str = ""
    split: str | None = None
    digest: str = ""
    problems: tuple[CellProblem, ...] = ()


@dataclass(frozen=True)
class LabelTable:
    """Rows that are not blank, one by one; `columns` has the file's own name for each of ours.

    Once the rows are read, `digest` is the SHA-256 of the file.
    """

    columns: LabelColumns
    rows: Iterator[LabelRow]
    _text: TableText

    @property
    def digest(self) -> str:
        return self._text.digest


@contextmanager
def open_label_table(file: Path) -> Iterator[LabelTable]:
    """Raises LabelTableError, also while rows are read."""
    try:
        with open_table(file) as text:
            columns, rows = _table(file, text.lines)
            yield LabelTable(columns, rows, text)
    except OSError as error:
        raise LabelTableError(file, [f"it cannot be read ({error.strerror})"]) from error
    except UnicodeDecodeError as error:
        raise LabelTableError(file, ["it is not UTF-8 text; save it as UTF-8"]) from error


def _table(file: Path, lines: Iterator[str]) -> tuple[LabelColumns, Iterator[LabelRow]]:
    first = next(lines, "")
    delimiter = None
    if separator := _SEPARATOR_LINE.fullmatch(first.rstrip("\r\n")):
        delimiter, first = separator[1], next(lines, "")
    lines = chain([first], lines)
    is_of_a_sound = sound_of(file) != file.name
    is_empty_track = not first.strip() and file.suffix.lower() == ".txt"
    begins_with_time = "\t" in first and not math.isnan(number(first.split("\t")[0]))
    if is_empty_track or (is_of_a_sound and begins_with_time):
        columns = LabelColumns(("start", "end", "label"), {"start": 0, "end": 1, "label": 2})
        return columns, _rows(file, columns, enumerate(_label_track(file, lines), start=1), "\t")
    delimiter = delimiter or _delimiter(first)
    records = _records(file, lines, delimiter, first)
    header = next(records, [])
    if not any(header):
        raise LabelTableError(file, ["it is empty, or begins with an empty row"])
    columns, problems = find_columns(header, needs_path=not is_of_a_sound)
    if problems:
        raise LabelTableError(file, problems)
    return columns, _rows(file, columns, enumerate(records, start=2), delimiter)


def _delimiter(header: str) -> str:
    """The one that makes the most columns of it."""
    return max(_DELIMITERS, key=re.sub(r'"[^"]*"', "", header).count)


def _records(file: Path, lines: Iterable[str], delimiter: str, header: str) -> Iterator[list[str]]:
    is_raven = delimiter == "\t" and header.startswith("Selection\t")  # it never quotes
    reader = csv.reader(
        lines,
        delimiter=delimiter,
        quoting=csv.QUOTE_NONE if is_raven else csv.QUOTE_MINIMAL,
        skipinitialspace=delimiter != "\t",
        strict=True,
    )
    try:
        for record in reader:
            yield [cell.strip() for cell in record]
    except csv.Error as error:
        reason = f"it is not a CSV file (line {reader.line_num}: {error})"
        raise LabelTableError(file, [reason]) from error


def _label_track(file: Path, lines: Iterable[str]) -> Iterator[list[str]]:
    """Audacity's; a line that begins with a backslash holds frequencies of the line before."""
    for row, line in enumerate(lines, start=1):
        cells = [cell.strip() for cell in line.split("\t")]
        if line.startswith("\\"):
            cells = []
        elif any(cells) and len(cells) < 3:
            reason = f"row {row}: an Audacity label has start, end and text between tabs"
            raise LabelTableError(file, [reason])
        yield cells[:3]


def _rows(
    file: Path, columns: LabelColumns, records: Iterable[tuple[int, list[str]]], delimiter: str
) -> Iterator[LabelRow]:
    first_sound = ""
    for at, cells in records:
        if not any(cells):
            continue
        if reason := columns.not_understood(cells):
            raise LabelTableError(file, [reason])
        reader = _RowReader(file, columns, at, cells, delimiter)
        if reader.counts_from_first_sound:
            sound = reader.cell("path")
            first_sound = first_sound or sound
            if sound != first_sound:
                names = " and ".join(visible(name[:_SHOWN]) for name in (first_sound, sound))
                reason = (
                    f"row {at}: times of several sounds, such as {names}, count from the beginning"
                    " of the first; add the column File Offset (s)"
                )
                raise LabelTableError(file, [reason])
        yield reader.row()


def sound_of(file: Path) -> str:
    """`night.wav.Table.1.selections.txt` is of `night.wav`, and so is `night.Table.1...`."""
    return _TABLE_ENDING.sub("", file.name)


def folders_of(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.replace("\\", "/").split("/") if part not in ("", "."))


@dataclass
class _RowReader:
    """Reads one row; `problems` has a line for each invalid cell."""

    file: Path
    columns: LabelColumns
    number: int
    cells: list[str]
    delimiter: str
    problems: list[CellProblem] = field(default_factory=list)

    def cell(self, column: str) -> str:
        at = self.columns.positions.get(column, len(self.cells))
        return self.cells[at] if at < len(self.cells) else ""

    @property
    def counts_from_first_sound(self) -> bool:
        """Raven's, unless it gives the offset in the sound itself as well."""
        names = self.columns.plain_names
        is_raven = names.get("path") in ("beginpath", "beginfile")
        begins = names.get("start", "").startswith("begintime")
        return is_raven and begins and not self.cell("file_offset")

    def row(self) -> LabelRow:
        width = len(self.columns.header)
        if any(self.cells[width:]):
            self.problems.append(
                CellProblem(
                    "",
                    f"row {self.number}: it has {len(self.cells)} cells and the header {width};"
                    " put a cell that holds a comma in quotes",
                )
            )
        start_s, end_s = self._part()
        path, name, folders, n_sure = self._sound()
        return LabelRow(
            number=self.number,
            label=self._take("label", lambda cell: cell and read_label(without_guard(cell)), ""),
            path=path,
            name=name,
            folders=folders,
            n_sure=n_sure,
            start_s=start_s,
            end_s=end_s,
            fold=self._take("fold", read_fold, None),
            group=self._take("group", lambda cell: read_group(without_guard(cell)), ""),
            split=self._take("split", read_split, None),
            digest=self.cell("digest"),
            problems=tuple(self.problems),
        )

    def _sound(self) -> tuple[str, str, tuple[str, ...], int]:
        """Path, name, folders, and how many of these are sure."""
        cell, column = self._take("path", str, ""), self.columns.plain_names.get("path")
        if column in (None, "beginfile"):
            around = folders_of(str(self.file.absolute().parent))
            return "", cell if column else sound_of(self.file), around, 0
        if column == "infile":
            # The folder is in columns of its own, maybe one of another machine, also of Windows.
            root, below = self.cell("indir"), folders_of(self.cell("folder"))
            above = (root.rstrip("/"),) if root.startswith("/") else ()
            path = "/".join((*above, *below, cell)) if above or below else ""
            return path, cell, (*folders_of(root), *below), len(below)
        path = cell.removeprefix("./")
        *folders, name = folders_of(path) or ("",)
        if column == "beginpath":
            return path, name, tuple(folders), 0
        return path, "" if "/" in path else path, (), 0

    def _part(self) -> tuple[float, float]:
        start_s, end_s, duration_s, offset_s = (
            self._take(column, lambda cell: read_seconds(cell, self.delimiter), None)
            for column in ("start", "end", "duration", "file_offset")
        )
        if offset_s is not None:
            if start_s is not None and end_s is not None:
                end_s += offset_s - start_s
            start_s = offset_s
        if start_s is not None and end_s is None and duration_s is not None:
            end_s = start_s + duration_s
        start_s, end_s = start_s or 0.0, math.inf if end_s is None else end_s
        if start_s >= end_s:
            column = "end" if "end" in self.columns.positions else "duration"
            self._refuse(column, f"{end_s:g} s does not lie behind the start, {start_s:g} s")
        return start_s, end_s

    def _take(self, column: str, read: Callable[[str], T], default: T) -> T:
        """The value of the cell; `default` where there is no such column or the cell is invalid."""
        if column not in self.columns.positions:
            return default
        cell = self.cell(column)
        try:
            if len(cell) > MAX_CELL_CHARACTERS:
                raise ValueError(f"it has {len(cell)} characters, {MAX_CELL_CHARACTERS} at most")
            return read(cell)
        except ValueError as error:
            self._refuse(column, str(error))
            return default

    def _refuse(self, column: str, reason: str) -> None:
        line = f"row {self.number}, column {self.columns.name(column)}: {reason}"
        self.problems.append(CellProblem(column, line))
