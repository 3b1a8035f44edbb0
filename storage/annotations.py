"""What other programs write of sounds, as annotations: CSV, Raven, Audacity and Kaleidoscope.

A row says which recording it is of by as much as it knows: a digest, a path, or a name alone.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from storage.errors import StorageError

# The first of these that a file has is meant.
LABEL = ("label", "category", "class", "annotation", "species", "common name", "manual id")
PATH = ("begin path", "path", "file", "filename", "file_name", "in file", "begin file")
_START = ("file offset (s)", "start", "begin time (s)", "offset")
_END = ("end", "end time (s)")
_TRACK = (".table.1.selections.txt", ".selections.txt", ".txt")


@dataclass(frozen=True)
class Annotation:
    """A label that a person gave; the whole recording is from 0 to 0.

    `place` is where a person finds it: file and row, the header being row 1; paths may count from
    the `folder` of the table.
    """

    path: str
    label: str
    place: str
    start_s: float = 0.0
    end_s: float = 0.0
    digest: str | None = None
    group: str | None = None
    folder: Path | None = None


def read_annotations(file: Path) -> list[Annotation]:
    """Rows without a label are left out: nobody has said anything there.

    Raises StorageError naming the row where a file is none of these, or a number is no number.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise StorageError(f"cannot read {file}: {reason}") from error
    first, _, _ = text.partition("\n")
    if "\t" in first:
        if _is_number(first.split("\t")[0]):
            return list(_label_track(file, text))
        return list(_table(file, text, "\t"))
    return list(_table(file, text, ","))


def _label_track(file: Path, text: str) -> Iterator[Annotation]:
    """Audacity's; a line that begins with a backslash holds frequencies of the line before."""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("\\"):
            continue
        place, cells = f"{file} line {number}", line.split("\t")
        if len(cells) < 3:
            raise StorageError(f"{place}: an Audacity label has start, end and text between tabs")
        if label := cells[2].strip():
            start_s, end_s = (_seconds(cell, place) for cell in cells[:2])
            one = Annotation(_sound_of(file), label, place, folder=file.parent)
            yield _part(one, start_s, end_s)


def _table(file: Path, text: str, delimiter: str) -> Iterator[Annotation]:
    is_raven = delimiter == "\t"
    rows = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        quoting=csv.QUOTE_NONE if is_raven else csv.QUOTE_MINIMAL,
    )
    header = [name.strip().lower() for name in next(rows, [])]
    label = _column(header, LABEL)
    path = _column(header, PATH)
    if label is None or (path is None and not is_raven):
        missing = (
            f"a label ({', '.join(LABEL)})" if label is None else f"a path ({', '.join(PATH)})"
        )
        raise StorageError(f"{file}: no column for {missing}; it has {', '.join(header) or 'none'}")
    for number, cells in enumerate(rows, start=2):
        row = dict(zip(header, map(str.strip, cells), strict=False))
        if row.get(label):
            named = _path(row, path) if path else _sound_of(file)
            one = Annotation(
                path=named,
                label=_written(row[label]),
                place=f"{file} row {number}",
                digest=row.get("digest") or None,
                group=row.get("group") or None,
                folder=file.parent,
            )
            yield _timed(one, row)


def _written(label: str) -> str:
    """Without the apostrophe that keeps a spreadsheet from running it."""
    plain = " ".join(label.split())
    return plain[1:] if plain.startswith("'") and plain[1:2] in ("=", "+", "-", "@") else plain


def _path(row: Mapping[str, str], column: str) -> str:
    """Kaleidoscope has the folder in columns of its own."""
    name = row.get(column, "").removeprefix("./")
    folder = row.get("folder", "") if column == "in file" else ""
    return f"{folder}/{name}" if folder else name


def _timed(one: Annotation, row: Mapping[str, str]) -> Annotation:
    start, end = _column(row, _START), _column(row, _END)
    begin = row.get(start or "")
    if not begin and not row.get(end or ""):
        return one
    start_s = _seconds(begin or "0", one.place)
    if row.get("duration"):
        return _part(one, start_s, start_s + _seconds(row["duration"], one.place))
    if end is None or not row.get(end):
        return _part(one, start_s, 0.0)
    end_s = _seconds(row[end], one.place)
    if start == "file offset (s)" and row.get("begin time (s)"):
        # Begin and end count from the first of several sounds; the offset from its own.
        end_s = start_s + end_s - _seconds(row["begin time (s)"], one.place)
    return _part(one, start_s, end_s)


def _part(one: Annotation, start_s: float, end_s: float) -> Annotation:
    if end_s and end_s <= start_s:
        raise StorageError(f"{one.place}: the end, {end_s:g} s, is not after {start_s:g} s")
    return replace(one, start_s=round(start_s, 6), end_s=round(end_s, 6))


def _column(names: Sequence[str] | Mapping[str, str], known: Sequence[str]) -> str | None:
    return next((name for name in known if name in names), None)


def _sound_of(file: Path) -> str:
    """`night.wav.Table.1.selections.txt` is of `night.wav`, and so is `night.Table.1...`."""
    name = file.name
    for ending in _TRACK:
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def _seconds(cell: str, place: str) -> float:
    if not _is_number(cell) or not 0 <= float(cell) < math.inf:
        raise StorageError(f"{place}: {cell!r} are no seconds")
    return float(cell)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
