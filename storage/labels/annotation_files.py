"""What other programs write of sounds, as annotations: CSV, Raven, Audacity and Kaleidoscope.

A row says which recording it is of by as much as it knows: a digest, a path, or a name alone.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from storage.errors import StorageError, os_errors_as
from storage.labels.label_names import SHOWN_CHARACTERS, read_label, read_name
from storage.labels.table_text import open_table
from storage.values.text import without_guard

# The first of these that a file has is meant.
LABEL = ("label", "category", "class", "annotation", "species", "common name", "manual id")
PATH = ("begin path", "path", "file", "filename", "file_name", "in file", "begin file")
MAX_PATH_CHARACTERS = 4096  # no path is longer
_NAMES = ("in file", "begin file")  # columns of names that say nothing of the folder
_START = ("file offset (s)", "start", "start_s", "start (s)", "begin time (s)", "offset")
_END = ("end", "end_s", "end (s)", "end time (s)")
_TRACK = (".table.1.selections.txt", ".selections.txt", ".txt")


@dataclass(frozen=True)
class Annotation:
    """A label that a person gave; the whole recording is from 0 to 0.

    The recording is named by a `digest`, by a `path` (in an inbox, absolute, or counted from the
    `folder` of the table), or else by a `name` below `folders`. Of several namesakes it is the one
    whose folders end most like these, the last `n_sure` of them in any case. `place` is where a
    person finds the annotation: file and row, the header being row 1.
    """

    label: str
    place: str
    path: str = ""
    name: str = ""
    folders: tuple[str, ...] = ()
    n_sure: int = 0
    start_s: float = 0.0
    end_s: float = 0.0
    digest: str | None = None
    group: str | None = None
    folder: Path | None = None

    @property
    def recording(self) -> str:
        """What the annotation is of, as a person reads it."""
        return (self.path or self.name or self.digest or "")[:MAX_PATH_CHARACTERS]


@dataclass(frozen=True)
class AnnotationFile:
    """What a file says, and how many labels of it are of a moment without length."""

    annotations: tuple[Annotation, ...]
    n_points: int = 0


def read_annotations(file: Path) -> AnnotationFile:
    """Rows without a label are left out. Raises StorageError naming the row that is wrong."""
    with (
        os_errors_as(StorageError, f"cannot read {file}"),
        open_table(file, allow_utf16=True) as text,
    ):
        try:
            return _read(file, text.lines)
        except UnicodeDecodeError as error:
            reason = "it is not UTF-8 text; save it as UTF-8"
            raise StorageError(f"cannot read {file}: {reason}") from error


def _read(file: Path, lines: Iterator[str]) -> AnnotationFile:
    first = next(lines, "")
    lines = chain([first], lines)
    if "\t" in first and not _is_number(first.split("\t")[0]):
        return AnnotationFile(tuple(_table(file, lines, "\t")))
    if "\t" in first or (not first.strip() and file.suffix.lower() == ".txt"):
        track = list(_label_track(file, lines))
        # Clfd keeps no label of a moment: its start and end would be those of the whole recording.
        parts = tuple(one for one in track if one.end_s > one.start_s)
        return AnnotationFile(parts, len(track) - len(parts))
    return AnnotationFile(tuple(_table(file, lines, ",")))


def timed(one: Annotation, start_s: float, end_s: float) -> Annotation:
    """An end of 0 is that of the recording. Raises StorageError for an end that is not later."""
    start_s, end_s = round(start_s, 6), round(end_s, 6)
    if end_s and end_s <= start_s:
        raise StorageError(f"{one.place}: the end, {end_s:g} s, is not after {start_s:g} s")
    return replace(one, start_s=start_s, end_s=end_s)


def _label_track(file: Path, lines: Iterable[str]) -> Iterator[Annotation]:
    """Audacity's; a line that begins with a backslash holds frequencies of the line before."""
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("\\"):
            continue
        place, cells = f"{file} line {number}", line.split("\t")
        if len(cells) < 3:
            raise StorageError(f"{place}: an Audacity label has start, end and text between tabs")
        if label := cells[2].strip():
            start_s, end_s = (round(_seconds(cell, place), 6) for cell in cells[:2])
            one = _beside(file, Annotation(_name(read_label, label, f"{place}, label"), place))
            yield timed(one, start_s, end_s) if end_s != start_s else one


def _table(file: Path, lines: Iterable[str], delimiter: str) -> Iterator[Annotation]:
    is_raven = delimiter == "\t"
    rows = csv.reader(
        lines,
        delimiter=delimiter,
        quoting=csv.QUOTE_NONE if is_raven else csv.QUOTE_MINIMAL,
        strict=True,
    )
    try:
        yield from _rows(file, rows, is_raven)
    except csv.Error as error:
        raise StorageError(f"{file} line {rows.line_num}: it is no table ({error})") from error


def _rows(file: Path, rows: Iterator[list[str]], is_raven: bool) -> Iterator[Annotation]:
    header = [name.strip().lower() for name in next(rows, [])]
    label = _column(header, LABEL)
    path = _column(header, PATH)
    if label is None or (path is None and not is_raven):
        missing = (
            f"a label ({', '.join(LABEL)})" if label is None else f"a path ({', '.join(PATH)})"
        )
        columns = ", ".join(header) or "none"
        remedy = "; separate them by commas" if len(header) == 1 and ";" in columns else ""
        raise StorageError(f"{file}: no column for {missing}; it has {columns}{remedy}")
    for number, cells in enumerate(rows, start=2):
        row = dict(zip(header, map(str.strip, cells), strict=False))
        if row.get(label):
            place, group = f"{file} row {number}", without_guard(row.get("group", ""))
            one = Annotation(
                label=_name(read_label, without_guard(row[label]), f"{place}, label"),
                place=place,
                digest=row.get("digest") or None,
                group=_name(read_name, group, f"{place}, group") or None,
                folder=file.parent,
            )
            yield _timed(_found_at(row, path, one) if path else _beside(file, one), row)


def _name(read: Callable[[str], str], cell: str, place: str) -> str:
    try:
        return cell and read(cell)
    except ValueError as error:
        raise StorageError(f"{place}: {error}; correct it") from error


def _beside(file: Path, one: Annotation) -> Annotation:
    """Of a table that does not say: it is called like its sound, and lies in such a folder."""
    folder = file.absolute().parent
    return replace(one, name=_recording_of(file), folders=_folders(str(folder)), folder=folder)


def _found_at(row: Mapping[str, str], column: str, one: Annotation) -> Annotation:
    cell = row.get(column, "")
    if column == "in file":
        return _of_kaleidoscope(row, cell, one)
    if column in _NAMES:
        around = one.folder.absolute() if one.folder else Path()
        return replace(one, name=cell, folders=_folders(str(around)))
    path = cell.removeprefix("./")
    return replace(one, path=path, name="" if "/" in path else path)


def _of_kaleidoscope(row: Mapping[str, str], name: str, one: Annotation) -> Annotation:
    """The folder is in columns of its own, and may be one of another machine, also of Windows."""
    root, below = row.get("indir", ""), _folders(row.get("folder", ""))
    path = "/".join((*below, name)) if below else ""
    if root.startswith("/"):
        path = "/".join((root.rstrip("/"), *below, name))
    return replace(one, path=path, name=name, folders=(*_folders(root), *below), n_sure=len(below))


def _folders(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.replace("\\", "/").split("/") if part not in ("", "."))


def _timed(one: Annotation, row: Mapping[str, str]) -> Annotation:
    start, end = _column(row, _START), _column(row, _END)
    begin = row.get(start or "")
    if not begin and not row.get(end or ""):
        return one
    start_s = _seconds(begin or "0", one.place)
    if row.get("duration"):
        return timed(one, start_s, start_s + _seconds(row["duration"], one.place))
    if end is None or not row.get(end):
        return timed(one, start_s, 0.0)
    end_s = _seconds(row[end], one.place)
    if start == "file offset (s)" and row.get("begin time (s)"):
        # Begin and end count from the first of several sounds; the offset from its own.
        end_s = start_s + end_s - _seconds(row["begin time (s)"], one.place)
    return timed(one, start_s, end_s)


def _column(names: Sequence[str] | Mapping[str, str], wanted: Sequence[str]) -> str | None:
    return next((name for name in wanted if name in names), None)


def _recording_of(file: Path) -> str:
    """`night.wav.Table.1.selections.txt` is of `night.wav`, and so is `night.Table.1...`."""
    name = file.name
    for ending in _TRACK:
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def _seconds(cell: str, place: str) -> float:
    if not _is_number(cell) or not 0 <= float(cell) < math.inf:
        raise StorageError(f"{place}: {cell[:SHOWN_CHARACTERS]!r} are no seconds")
    return float(cell)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
