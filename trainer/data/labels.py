"""Labelled examples, from a CSV file or from a folder with one sub-folder per label.

Whatever is wrong without decoding is found here and reported together.
"""

from __future__ import annotations

import math
import os
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from storage.labels.label_names import read_label
from storage.labels.table_text import open_table
from storage.values.text import text_digest, visible, without_guard
from trainer.data.csv_reader import (
    Row,
    Table,
    read_fold,
    read_group,
    read_seconds,
    read_split,
    read_table,
    read_text,
)
from trainer.data.examples import Example, LabelSet
from trainer.data.folder_reader import list_folder
from trainer.data.overlaps import contradictions
from trainer.errors import LabelsError

MIN_LABELS = 2
MAX_CELL_CHARACTERS = 4096  # as long as a path may be

T = TypeVar("T")


def read_labels(
    source: Path,
    suffixes: Collection[str],
    skip_bad: bool = False,
    min_labels: int = MIN_LABELS,
) -> LabelSet:
    """Reads a labels CSV, or a folder whose sub-folders are labels.

    `suffixes` (lower case, with dot) say which files of a folder are audio; a CSV names its files
    itself. Raises LabelsError listing every problem; with `skip_bad` rows with problems are left
    out instead, and named in `skipped`. `min_labels` different ones must be left: training
    takes two, evaluation one.
    """
    found = _read_folder(source, suffixes) if source.is_dir() else _read_csv(source)
    refuse_problems(source, found.skipped, skip_bad)
    check_labels(source, found.examples, found.skipped, min_labels)
    return found


def refuse_problems(source: Path, problems: Sequence[str], skip_bad: bool) -> None:
    """Raises LabelsError listing the problems, unless they may be skipped."""
    if problems and not skip_bad:
        raise LabelsError(source, problems, of_rows=True)


def check_labels(
    source: Path,
    examples: Sequence[Example],
    skipped: Sequence[str] = (),
    min_labels: int = MIN_LABELS,
) -> None:
    """Raises LabelsError where what is left without the rows that were `skipped` is too little."""
    labels = sorted({example.label for example in examples})
    if len(labels) < min_labels:
        found = f"only the label {labels[0]!r}" if labels else "no usable example"
        problem = f"it has {found}, but a classifier needs {min_labels} labels"
        if source.is_dir():
            problem += ", each in a sub-folder of its own"
        raise LabelsError(source, [problem, *(f"left out: {row}" for row in skipped)])


def _read_folder(folder: Path, suffixes: Collection[str]) -> LabelSet:
    try:
        listing = list_folder(folder, suffixes)
    except OSError as error:
        raise LabelsError(folder, [f"it cannot be read ({error.strerror})"]) from error
    examples = tuple(
        Example(path, label, group=path.relative_to(folder).as_posix())
        for path, label in listing.files
    )
    names = "".join(f"{example.group}\n" for example in examples)
    return LabelSet(folder, text_digest(names), examples, tuple(listing.problems))


def _read_csv(source: Path) -> LabelSet:
    try:
        with open_table(source) as text:
            examples, problems = _examples(read_table(source, text.lines), source.parent)
    except OSError as error:
        raise LabelsError(source, [f"it cannot be read ({error.strerror})"]) from error
    return LabelSet(source, text.digest, examples, problems)


def _examples(table: Table, folder: Path) -> tuple[tuple[Example, ...], tuple[str, ...]]:
    """Valid examples, and a line for each problem, in the order of the rows."""
    valid: list[Example] = []
    problems: list[tuple[int, str]] = []
    for row in table.rows:
        reader = _RowReader(row, table, folder)
        example = reader.example()
        if reader.problems:
            problems += [(row.number, line) for line in reader.problems]
        else:
            valid.append(example)
    found = contradictions(valid, [example.path for example in valid])
    contradictory = {at: problem.line for problem in found for at in problem.positions}
    problems += [(valid[at].row or 0, line) for at, line in contradictory.items()]
    kept = tuple(example for at, example in enumerate(valid) if at not in contradictory)
    return kept, tuple(line for _, line in sorted(problems, key=lambda problem: problem[0]))


@dataclass
class _RowReader:
    """Makes an example of one row; `problems` has a line for each invalid cell."""

    row: Row
    table: Table
    folder: Path
    problems: list[str] = field(default_factory=list)

    def example(self) -> Example:
        if self.row.surplus:
            self.problems.append(
                f"row {self.row.number}: it has {self.row.surplus} cells and the header "
                f"{self.table.header_cells}; put a cell that holds a comma in quotes"
            )
        path = self._take("path", self._file, Path())
        start = self._take("start", lambda cell: read_seconds(cell, default=0.0), 0.0)
        end = self._take("end", lambda cell: read_seconds(cell, default=math.inf), math.inf)
        if start >= end:
            self._refuse("end", f"{end:g} s does not lie behind the start, {start:g} s")
        group = self._take("group", lambda cell: read_group(without_guard(cell)), "")
        return Example(
            path=path,
            label=self._take("label", lambda cell: read_label(without_guard(cell)), ""),
            start_seconds=start,
            end_seconds=end,
            fold=self._take("fold", read_fold, None),
            group=group or os.path.normpath(self.row.cells["path"]),
            split=self._take("split", read_split, None),
            row=self.row.number,
            grouped=bool(group),
            columns=self.table.columns,
        )

    def _take(self, column: str, read: Callable[[str], T], default: T) -> T:
        """The value of the cell; `default` where there is no such column or the cell is invalid."""
        if column not in self.row.cells:
            return default
        cell = self.row.cells[column]
        try:
            if len(cell) > MAX_CELL_CHARACTERS:
                raise ValueError(f"it has {len(cell)} characters, {MAX_CELL_CHARACTERS} at most")
            return read(cell)
        except ValueError as error:
            self._refuse(column, str(error))
            return default

    def _refuse(self, column: str, reason: str) -> None:
        self.problems.append(
            f"row {self.row.number}, column {self.table.columns[column]}: {reason}"
        )

    def _file(self, cell: str) -> Path:
        for spelling in _spellings(read_text(cell)):
            path = self.folder / spelling
            if os.path.isfile(path):  # Path.is_file raises on names that are too long
                return path
        raise ValueError(f"no such file: {visible(str(self.folder / cell))}")


def _spellings(path: str) -> Iterator[str]:
    """A table may have been written on another system than the one that holds its files.

    macOS takes accents apart and tables compose them, or the other way round; Windows writes \\.
    """
    for slashed in (path, path.replace("\\", "/")):
        yield slashed
        yield unicodedata.normalize("NFC", slashed)
        yield unicodedata.normalize("NFD", slashed)
