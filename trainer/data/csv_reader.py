"""A labels CSV as a table of text, and the values of its cells.

`read_table` refuses what is wrong with the file as a whole. The functions for cells raise
ValueError with the reason.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from storage.labels.label_names import read_name
from trainer.errors import LabelsError

# What a column may be called; the first name is ours.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "path": ("path", "file", "filename", "file_name"),
    "label": ("label", "category", "class"),
    "start": ("start",),
    "end": ("end",),
    "fold": ("fold",),
    "group": ("group", "src_file", "source"),
    "split": ("split",),
}
SPLITS = ("train", "val")
SHORTENED = re.compile(r"\d\.\d+E\+\d\d", re.ASCII)  # how a spreadsheet shows a long number


@dataclass(frozen=True)
class Row:
    """Cells by our names of the columns. `number` counts as a spreadsheet does, the header is 1.

    `surplus` is how many cells it has in all, where that is more than the header has.
    """

    number: int
    cells: Mapping[str, str]
    surplus: int = 0


@dataclass(frozen=True)
class Table:
    """Rows that are not blank, one by one; `columns` has the file's own name for each of ours."""

    columns: Mapping[str, str]
    header_cells: int
    rows: Iterator[Row]


def read_table(source: Path, lines: Iterable[str]) -> Table:
    """Raises LabelsError where this is no CSV with a column for the path and one for the label.

    So may the rows of the table.
    """
    records = _records(source, lines)
    header = next(records, [])
    if not any(header):
        raise LabelsError(source, ["it is empty, or begins with an empty row"])
    columns = _columns(source, header)
    rows = (
        _row(number, cells, columns, len(header))
        for number, cells in enumerate(records, start=2)
        if any(cells)
    )
    return Table({ours: header[at] for ours, at in columns.items()}, len(header), rows)


def _records(source: Path, lines: Iterable[str]) -> Iterator[list[str]]:
    reader = csv.reader(lines, skipinitialspace=True, strict=True)
    try:
        for record in reader:
            yield [cell.strip() for cell in record]
    except UnicodeDecodeError as error:
        raise LabelsError(source, ["it is not UTF-8 text; save it as UTF-8"]) from error
    except csv.Error as error:
        reason = f"it is not a CSV file (line {reader.line_num}: {error})"
        raise LabelsError(source, [reason]) from error


def _columns(source: Path, header: Sequence[str]) -> dict[str, int]:
    """The position of each column there is."""
    if len(header) == 1 and any(separator in header[0] for separator in ";\t|"):
        raise LabelsError(source, [f"row 1: {header[0]!r} is one column; separate them by commas"])
    columns: dict[str, int] = {}
    problems = []
    for ours, names in COLUMNS.items():
        hits = [at for at, name in enumerate(header) if name.lower() in names]
        if len(hits) > 1:
            twice = " and ".join(header[at] for at in hits)
            problems.append(f"row 1: columns {twice} mean the same; keep one of them")
        elif hits:
            columns[ours] = hits[0]
        elif ours in ("path", "label"):
            problems.append(
                f"row 1: no column {' or '.join(names)}; it has {', '.join(header) or 'none'}"
            )
    if problems:
        raise LabelsError(source, problems)
    return columns


def _row(number: int, cells: Sequence[str], columns: Mapping[str, int], width: int) -> Row:
    named = {ours: cells[at] if at < len(cells) else "" for ours, at in columns.items()}
    return Row(number, named, len(cells) if any(cells[width:]) else 0)


def read_text(cell: str) -> str:
    if not cell:
        raise ValueError("it is empty")
    return cell


def read_group(cell: str) -> str:
    """An empty cell is no group. Numbers that lost their last digits would merge groups."""
    if SHORTENED.fullmatch(cell):
        raise ValueError(
            f"{cell!r} is a number that a spreadsheet has shortened; format the column as text"
        )
    return read_name(cell) if cell else ""


def read_seconds(cell: str, default: float) -> float:
    if not cell:
        return default
    seconds = _number(cell)
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{cell!r} is no time in seconds")
    return seconds


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def read_fold(cell: str) -> int | None:
    """Spreadsheets write 1 as 1.0; without a fold an example always trains."""
    if not cell:
        return None
    number = _number(cell)
    if not number.is_integer():
        raise ValueError(f"{cell!r} is no whole number")
    return int(number)


def read_split(cell: str) -> str:
    if cell.lower() not in SPLITS:
        raise ValueError(f"{cell!r} is neither {' nor '.join(SPLITS)}")
    return cell.lower()
