"""Human labels as a table to train from, with the reason where training would refuse one."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import Connection, select

from storage.database.tables import human_label, inbox, recording
from storage.labels.matching import ROUNDED_SECONDS
from storage.labels.overlap import Part, is_same_sound
from storage.values.text import printable_path

EXPORT_COLUMNS = (
    "path",
    "label",
    "start",
    "end",
    "group",
    "digest",
    "predicted",
    "confidence",
    "origin",
    "labelled_at",
)
_row, _human = recording.c, human_label.c


@dataclass(frozen=True)
class _Label:
    """One label of one part of one recording that has the content."""

    label: str
    start_s: float
    end_s: float
    group: str | None
    digest: str
    origin: str
    labelled_at: str
    state: str
    duration_s: float | None
    file: bytes
    predicted: str | None
    confidence: float | None

    @property
    def part(self) -> Part:
        return self.start_s, self.end_s or self.duration_s or math.inf

    @property
    def length(self) -> float:
        return self.part[1] - self.part[0]

    def refusal(self) -> str:
        if self.state != "done":
            return f"of a recording that is {self.state}"
        if not os.path.isfile(self.file):
            return "of a file that is gone"
        try:
            self.file.decode()
        except UnicodeDecodeError:
            return "of a file whose path is no UTF-8 text"
        return ""

    def row(self) -> dict[str, object]:
        return {
            "path": printable_path(self.file),
            "label": self.label,
            "start": _seconds(self.start_s) if self.start_s or self.end_s else "",
            "end": _seconds(self.end_s) if self.end_s else "",
            "group": self.group or "",
            "digest": self.digest,
            "predicted": self.predicted or "",
            "confidence": "" if self.confidence is None else round(self.confidence, 6),
            "origin": self.origin,
            "labelled_at": self.labelled_at,
        }


def label_rows(connection: Connection) -> Iterator[tuple[dict[str, object], str]]:
    """A row for each label, by content and start; of copies, one that training can take.

    With it why training would refuse the label, or an empty text.
    """
    for _, labels in groupby(_labels(connection), key=lambda one: one.digest):
        parts = groupby(labels, key=lambda one: (one.start_s, one.end_s))
        chosen = [_most_usable(copies) for _, copies in parts]
        for one, refusal in chosen:
            if not refusal and any(_overrules(other, one) for other, _ in chosen):
                refusal = "of a sound that has another label, of a part of it or given later"
            yield one.row(), refusal


def _labels(connection: Connection) -> Iterator[_Label]:
    query = (
        select(_human.label, _human.start_s, _human.end_s, _human.group_name, _human.digest)
        .add_columns(_human.origin, _human.labelled_at, _row.state, _row.duration_s)
        .add_columns(_row.label, _row.confidence)
        .add_columns(inbox.c.path, _row.path, _row.archived_at, _row.archive_path)
        .join(recording, _row.digest == _human.digest)
        .join(inbox, inbox.c.id == _row.inbox_id)
        .where(_row.state != "superseded")
        .order_by(_human.digest, _human.start_s, _human.end_s, _row.id)
    )
    for row in connection.execution_options(yield_per=1000).execute(query):
        label, (state, duration_s, predicted, confidence) = row[:7], row[7:11]
        folder, path, archived_at, archive_path = row[11:]
        file = os.path.join(folder, path) if archived_at is None else archive_path
        yield _Label(*label, state, duration_s, file, predicted, confidence)  # type: ignore[call-arg]


def _most_usable(copies: Iterable[_Label]) -> tuple[_Label, str]:
    with_refusals = [(one, one.refusal()) for one in copies]
    return next((pair for pair in with_refusals if not pair[1]), with_refusals[0])


def _overrules(one: _Label, other: _Label) -> bool:
    """Another label of the same sound overrules: that of a shorter part, else one given later."""
    if one.label == other.label or not is_same_sound(one.part, other.part):
        return False
    if math.isclose(one.length, other.length, rel_tol=0, abs_tol=ROUNDED_SECONDS):
        return one.labelled_at > other.labelled_at
    return one.length < other.length


def _seconds(number: float) -> str:
    return f"{number:.6f}".rstrip("0").rstrip(".")
