"""Human labels as a table to train from, with the reason where training would refuse one."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from typing import Any

from sqlalchemy import Connection, Row, select

from storage.database.tables import human_label, inbox, recording
from storage.labels.answers import answers_to
from storage.labels.label_events import PartKey
from storage.labels.matching import ROUNDED_SECONDS
from storage.labels.overlap import Part, is_same_sound
from storage.values.decision import Decision, DisplayRules
from storage.values.text import printable_path
from storage.values.timestamps import seconds_text

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
_CHUNK = 1000


def label_rows(
    connection: Connection, rules: DisplayRules
) -> Iterator[tuple[dict[str, object], str]]:
    """A row for each label, by content and start; of copies, one that training can take.

    With it why training would refuse the label, or an empty text.
    """
    contents = (
        [_most_usable(copies) for _, copies in groupby(labels, key=lambda one: _asked(one)[1:])]
        for _, labels in groupby(_labels(connection), key=lambda one: one.digest)
    )
    while some := list(islice(contents, _CHUNK)):
        asked = [_asked(one) for chosen in some for one, _ in chosen]
        answers = iter(answers_to(connection, asked, rules))
        for chosen in some:
            for one, refusal in chosen:
                if not refusal and any(_overrules(other, one) for other, _ in chosen):
                    refusal = "of a sound that has another label, of a part of it or given later"
                yield _exported(one, next(answers)), refusal


def _labels(connection: Connection) -> Iterable[Row[Any]]:
    """A row for each label of each part of each recording that has the content."""
    query = (
        select(human_label, _row.state, _row.duration_s)
        .add_columns(inbox.c.path.label("folder"), _row.path, _row.archived_at, _row.archive_path)
        .join(recording, _row.digest == _human.digest)
        .join(inbox, inbox.c.id == _row.inbox_id)
        .where(_row.state != "superseded")
        .order_by(_human.digest, _human.start_s, _human.end_s, _row.id)
    )
    return connection.execute(query, execution_options={"yield_per": 1000})


def _file_of(one: Row[Any]) -> bytes:
    return one.archive_path if one.archived_at else os.path.join(one.folder, one.path)  # type: ignore[no-any-return]


def _part_of(one: Row[Any]) -> Part:
    return one.start_s, one.end_s or one.duration_s or math.inf


def _refusal_of(one: Row[Any]) -> str:
    if one.state != "done":
        return f"of a recording that is {one.state}"
    file = _file_of(one)
    if not os.path.isfile(file):
        return "of a file that is gone"
    try:
        file.decode()
    except UnicodeDecodeError:
        return "of a file whose path is no UTF-8 text"
    return ""


def _asked(one: Row[Any]) -> PartKey:
    return one.digest, one.start_s, one.end_s


def _exported(one: Row[Any], decision: Decision) -> dict[str, object]:
    return {
        "path": printable_path(_file_of(one)),
        "label": one.label,
        "start": seconds_text(one.start_s) if one.start_s or one.end_s else "",
        "end": seconds_text(one.end_s) if one.end_s else "",
        "group": one.group_name or "",
        "digest": one.digest,
        "predicted": decision.text or "",
        "confidence": "" if decision.confidence is None else round(decision.confidence, 6),
        "origin": one.origin,
        "labelled_at": one.labelled_at,
    }


def _most_usable(copies: Iterable[Row[Any]]) -> tuple[Row[Any], str]:
    with_refusals = [(one, _refusal_of(one)) for one in copies]
    return next((pair for pair in with_refusals if not pair[1]), with_refusals[0])


def _overrules(one: Row[Any], other: Row[Any]) -> bool:
    """Another label of the same sound overrules: that of a shorter part, else one given later."""
    part, other_part = _part_of(one), _part_of(other)
    if one.label == other.label or not is_same_sound(part, other_part):
        return False
    length, other_length = part[1] - part[0], other_part[1] - other_part[0]
    if math.isclose(length, other_length, rel_tol=0, abs_tol=ROUNDED_SECONDS):
        return bool(one.labelled_at > other.labelled_at)
    return length < other_length
