"""What a table of labels says of recordings, as annotations that can be matched to them.

A row says which recording it is of by as much as it knows: a digest, a path, or a name alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from storage.errors import StorageError
from storage.labels.label_names import read_labels
from storage.labels.tables.label_tables import MAX_CELL_CHARACTERS, LabelRow, open_label_table
from storage.values.decision import labels_in, written
from storage.values.timestamps import seconds_text

_SECOND_DIGITS = 6
_NOT_KEPT = ("fold", "split")
# What the column of the sound is called in tables of other programs, which have a row for each
# label of a part. In a table of one's own a later row is a correction.
_OF_PROGRAMS = (None, "beginfile", "beginpath", "infile")


@dataclass(frozen=True, slots=True)  # there may be millions
class Annotation:
    """A label that a person gave, or several as `a;b`; the whole recording is from 0 to 0.

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
        return (self.path or self.name or self.digest or "")[:MAX_CELL_CHARACTERS]

    @property
    def sound(self) -> str:
        """`195 to 200 s of night.wav`."""
        if not self.start_s and not self.end_s:
            return self.recording
        until = f"to {seconds_text(self.end_s)} s" if self.end_s else "s to the end"
        return f"{seconds_text(self.start_s)} {until} of {self.recording}"


@dataclass(frozen=True)
class AnnotationFile:
    """What a file says, and how many rows are of a moment without length, or have no label."""

    annotations: tuple[Annotation, ...]
    n_points: int = 0
    n_unlabelled: int = 0


def read_annotations(file: Path) -> AnnotationFile:
    """Rows without a label are left out. Raises StorageError naming the row that is wrong."""
    annotations, n_points, n_unlabelled = [], 0, 0
    with open_label_table(file) as table:
        for row in table.rows:
            problems = [one for one in row.problems if one.column not in _NOT_KEPT]
            if not row.label and all(one.column != "label" for one in problems):
                n_unlabelled += 1
            elif rounded(row.start_s) == rounded(row.end_s):
                n_points += 1  # its start and end would be those of the whole recording
            elif problems:
                raise StorageError(f"{file}: {problems[0].line}; correct it")
            else:
                annotations.append(_annotation(file, row))
        has_row_for_each = table.columns.plain_names.get("path") in _OF_PROGRAMS
    found = _joined(annotations) if has_row_for_each else annotations
    return AnnotationFile(tuple(found), n_points, n_unlabelled)


def _joined(annotations: Sequence[Annotation]) -> list[Annotation]:
    """Several labels of one part as one annotation."""
    of_part: dict[tuple[object, ...], Annotation] = {}
    for one in annotations:
        part = one.path, one.name, one.folders, one.digest, one.start_s, one.end_s
        before = of_part.get(part)
        label = one.label if before is None else written([*labels_in(before.label), one.label])
        of_part[part] = replace(before or one, label=label)
    return list(of_part.values())


def _annotation(file: Path, row: LabelRow) -> Annotation:
    return Annotation(
        label=_labels(file, row),
        place=f"{file} row {row.number}",
        path=row.path,
        name=row.name,
        folders=row.folders,
        n_sure=row.n_sure,
        start_s=rounded(row.start_s),
        end_s=0.0 if math.isinf(row.end_s) else rounded(row.end_s),
        digest=row.digest or None,
        group=row.group or None,
        folder=file.parent,
    )


def _labels(file: Path, row: LabelRow) -> str:
    try:
        return read_labels(row.label)
    except ValueError as error:
        raise StorageError(f"{file}: row {row.number}: {error}; correct it") from error


def rounded(seconds: float) -> float:
    """As the ledger keeps them."""
    return round(seconds, _SECOND_DIGITS)
