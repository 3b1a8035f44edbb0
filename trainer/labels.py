"""Labelled examples, from a CSV file or from a folder with one sub-folder per label.

Whatever is wrong is found before any audio is decoded and reported together.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pandas as pd

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
MIN_LABELS = 2

T = TypeVar("T")


@dataclass(frozen=True)
class Example:
    """A recording, or a part of one, and the label a person gave it.

    Examples of one `group` are relatives that must stay together; a file without a group is its
    own. `row` counts as a spreadsheet does, the header being 1; there is none in a folder.
    """

    path: Path
    label: str
    start_seconds: float = 0.0
    end_seconds: float = math.inf
    fold: int | None = None
    group: str = ""
    split: str | None = None
    row: int | None = None

    @property
    def place(self) -> str:
        """Where a person finds this example again."""
        return str(self.path) if self.row is None else f"row {self.row}, column path: {self.path}"


@dataclass(frozen=True)
class LabelSet:
    """Examples in the order of their source, its SHA-256, and what had to be left out."""

    source: Path
    digest: str
    examples: tuple[Example, ...]
    skipped: tuple[str, ...] = ()


def read_labels(source: Path, suffixes: Collection[str], skip_bad: bool = False) -> LabelSet:
    """Reads a labels CSV, or a folder whose sub-folders are labels.

    `suffixes` (lower case, with dot) say which files of a folder are audio; a CSV names its files
    itself. Raises LabelsError listing every problem; with `skip_bad` rows with problems are left
    out instead.
    """
    found = _read_folder(source, suffixes) if source.is_dir() else _read_csv(source)
    if found.skipped and not skip_bad:
        raise LabelsError(source, found.skipped, of_rows=True)
    check_labels(source, found.examples, found.skipped)
    return found


def check_labels(source: Path, examples: Sequence[Example], skipped: Sequence[str] = ()) -> None:
    """Raises LabelsError where what is left, without the rows that were `skipped`, is one label."""
    labels = sorted({example.label for example in examples})
    if len(labels) < MIN_LABELS:
        found = f"only the label {labels[0]!r}" if labels else "no usable example"
        problem = f"it has {found}, but a classifier needs {MIN_LABELS} labels"
        if source.is_dir():
            problem += ", each in a sub-folder of its own"
        raise LabelsError(source, [problem, *(f"left out: {row}" for row in skipped)])


def _read_folder(folder: Path, suffixes: Collection[str]) -> LabelSet:
    found = sorted(_audio_files(folder, suffixes))
    examples = tuple(
        Example(path, label=path.relative_to(folder).parts[0], group=_name(path, folder))
        for path in found
    )
    listing = "".join(f"{example.group}\n" for example in examples)
    digest = hashlib.sha256(listing.encode(errors="surrogateescape")).hexdigest()
    unwritable = sorted({ascii(e.label) for e in examples if not _is_text(e.label)})
    if unwritable:
        problem = f"{unwritable[0]} is not UTF-8 and so no name for a label; rename the folder"
        raise LabelsError(folder, [problem])
    return LabelSet(folder, digest, examples)


def _is_text(name: str) -> bool:
    """Whether the name of a folder is UTF-8; other bytes cannot be written into a checkpoint."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _audio_files(folder: Path, suffixes: Collection[str]) -> Iterator[Path]:
    for path in folder.glob("*/**/*"):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith((".", "@")) for part in parts)  # @eaDir is a NAS's own
        if path.suffix.lower() in suffixes and not hidden and path.is_file():
            yield path


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _read_csv(source: Path) -> LabelSet:
    table = _table(source)
    columns = _columns(source, [str(name) for name in table.iloc[0]])
    rows = [
        _Row(number, source.parent, {ours: str(cells[at]) for ours, (at, _) in columns.items()})
        for number, cells in enumerate(table.itertuples(index=False, name=None), start=1)
        if number > 1 and any(cells)
    ]
    written = {ours: theirs for ours, (_, theirs) in columns.items()}
    examples, problems = _examples(rows, written)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    return LabelSet(source, digest, examples, problems)


def _table(source: Path) -> pd.DataFrame:
    """All cells as text, the header being the first row: "NA" and "None" may be labels."""
    try:
        return pd.read_csv(
            source,
            header=None,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,
            skipinitialspace=True,
            encoding="utf-8-sig",
        ).fillna("")
    except OSError as error:
        raise LabelsError(source, [f"it cannot be read ({error.strerror})"]) from error
    except pd.errors.EmptyDataError as error:
        raise LabelsError(source, ["it is empty, or begins with an empty row"]) from error
    except pd.errors.ParserError as error:
        reason = str(error).strip().splitlines()[0]
        raise LabelsError(source, [f"it is not a CSV file ({reason})"]) from error
    except UnicodeDecodeError as error:
        raise LabelsError(source, ["it is not UTF-8 text; save it as UTF-8"]) from error


def _columns(source: Path, header: Sequence[str]) -> dict[str, tuple[int, str]]:
    """Our name of each column there is -> its position and the name it has in the file."""
    if len(header) == 1 and any(separator in header[0] for separator in ";\t|"):
        raise LabelsError(source, [f"row 1: {header[0]!r} is one column; separate them by commas"])
    columns: dict[str, tuple[int, str]] = {}
    problems = []
    for ours, names in COLUMNS.items():
        hits = [at for at, name in enumerate(header) if name.strip().lower() in names]
        if len(hits) > 1:
            twice = " and ".join(header[at] for at in hits)
            problems.append(f"row 1: columns {twice} mean the same; keep one of them")
        elif hits:
            columns[ours] = hits[0], header[hits[0]].strip()
        elif ours in ("path", "label"):
            problems.append(
                f"row 1: no column {' or '.join(names)}; it has {', '.join(header) or 'none'}"
            )
    if problems:
        raise LabelsError(source, problems)
    return columns


@dataclass
class _Row:
    number: int
    folder: Path
    cells: Mapping[str, str]
    problems: list[tuple[str, str]] = field(default_factory=list)

    def take(self, column: str, parse: Callable[[str], T], default: T) -> T:
        """The parsed cell, or `default` where there is no such column or its cell is at fault."""
        if column not in self.cells:
            return default
        try:
            return parse(self.cells[column].strip())
        except ValueError as error:
            self.problems.append((column, str(error)))
            return default

    def example(self) -> Example:
        path = self.take("path", self._file, Path())
        start = self.take("start", lambda text: _seconds(text, default=0.0), 0.0)
        end = self.take("end", lambda text: _seconds(text, default=math.inf), math.inf)
        if start >= end:
            self.problems.append(("end", f"{end:g} s does not lie behind the start, {start:g} s"))
        return Example(
            path=path,
            label=self.take("label", _label, ""),
            start_seconds=start,
            end_seconds=end,
            fold=self.take("fold", _fold, None),
            group=self.cells.get("group", "").strip()
            or os.path.normpath(self.cells["path"].strip()),
            split=self.take("split", _split, None),
            row=self.number,
        )

    def _file(self, text: str) -> Path:
        path = self.folder / _text(text)
        if not os.path.isfile(path):  # Path.is_file raises on names that are too long
            raise ValueError(f"no such file: {path}")
        return path


def _examples(
    rows: Sequence[_Row], written: Mapping[str, str]
) -> tuple[tuple[Example, ...], tuple[str, ...]]:
    """Sound examples, and a line for each problem; `written` are the column names of the file."""
    examples: list[Example] = []
    heard: dict[tuple[Path, float, float], Example] = {}
    problems = []
    for row in rows:
        example = row.example()
        if not row.problems:
            part = example.path, example.start_seconds, example.end_seconds
            first = heard.setdefault(part, example)
            if example.label == first.label:
                examples.append(example)
            else:
                said = f"{example.label!r}, but row {first.row} says {first.label!r}"
                row.problems.append(("label", said))
        problems += [
            f"row {row.number}, column {written[column]}: {reason}"
            for column, reason in row.problems
        ]
    return tuple(examples), tuple(problems)


def _text(text: str) -> str:
    if not text:
        raise ValueError("it is empty")
    return text


def _label(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"{text!r} holds a line break or a control character")
    return _text(text)


def _seconds(text: str, default: float) -> float:
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{text!r} is no time in seconds")
    return seconds


def _fold(text: str) -> int | None:
    """Spreadsheets write 1 as 1.0; an empty fold trains in every round."""
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not number.is_integer():
        raise ValueError(f"{text!r} is no whole number")
    return int(number)


def _split(text: str) -> str:
    if text.lower() not in SPLITS:
        raise ValueError(f"{text!r} is neither {' nor '.join(SPLITS)}")
    return text.lower()
