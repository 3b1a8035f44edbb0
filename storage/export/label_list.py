"""`clfd labels list`: what people say of sounds, newest first, with what was answered there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, case, func, null, or_, select

from storage.database.functions import instr
from storage.database.tables import human_label, inbox, label_mark, recording
from storage.labels.answers import answers_to
from storage.queries.filters import path_clauses
from storage.values.decision import SEPARATOR, Decision, DisplayRules
from storage.values.text import printable_path
from storage.values.timestamps import from_stamp, seconds_text

_SHOWN = ("labelled_at", "path", "start", "end", "label", "predicted")
_OF_TABLES = (*_SHOWN, "author", "way")
COLUMNS = (*_SHOWN, "confidence", "origin", "group", "inbox", "digest", "author", "way")
TABLE_LIMIT = 50
_CHUNK = 500
_row, _mark = recording.c, label_mark.c
_MARKS = select(
    *(_mark.digest, _mark.start_s, _mark.end_s),
    case((_mark.kind == "not", "not " + _mark.label), else_=_mark.kind).label("label"),
    *(null().label("group_name"), null().label("origin"), _mark.marked_at.label("labelled_at")),
    *(_mark.author, _mark.way),
).subquery()


@dataclass(frozen=True)
class LabelFilters:
    """`origins`: `set`, or the names of files that labels were imported from.

    `marks` are listed in place of labels: as `not LABEL` and `unsure`.
    """

    labels: tuple[str, ...] = ()
    path: str | None = None
    origins: tuple[str, ...] = ()
    marks: bool = False


def listed_labels(
    connection: Connection, filters: LabelFilters, limit: int, rules: DisplayRules
) -> Iterator[dict[str, object]]:
    """A row for each label; of copies one that has the path. A limit of 0 is none.

    Start and end are None where the whole recording is meant, and an end where its end is.
    """
    labels = connection.execute(_query(filters, limit), execution_options={"yield_per": _CHUNK})
    while some := list(islice(labels, _CHUNK)):
        parts = [(one.digest, one.start_s, one.end_s) for one in some]
        for one, answer in zip(some, answers_to(connection, parts, rules), strict=True):
            yield _record(one, answer)


def count_labels(connection: Connection, filters: LabelFilters) -> int:
    found = _query(filters, 0).order_by(None).subquery()
    return connection.scalar(select(func.count()).select_from(found)) or 0


def table_of(records: Iterable[dict[str, Any]]) -> tuple[Sequence[str], list[list[str]]]:
    """Columns and cells for a person: times are local, a whole recording has no start and end."""
    rows = []
    for one in records:
        moment = from_stamp(one["labelled_at"]).astimezone()
        shown = {**one, "labelled_at": f"{moment:%Y-%m-%d %H:%M}"}
        shown |= {name: _seconds(one[name]) for name in ("start", "end")}
        rows.append([str(shown[name] or "") for name in _OF_TABLES])
    return _OF_TABLES, rows


def _query(filters: LabelFilters, limit: int) -> Any:
    """Of copies the first that is current."""
    given = _MARKS if filters.marks else human_label
    fits = [_row.digest == given.c.digest]
    if filters.path is not None:
        fits += path_clauses(filters.path)
    ranked = select(_row.id).where(*fits).order_by(_row.state == "superseded", _row.id).limit(1)
    chosen = ranked.correlate(given).scalar_subquery()
    wanted: list[ColumnElement[bool]] = [] if filters.path is None else [_row.id.is_not(None)]
    if filters.labels:
        in_cell = SEPARATOR + given.c.label + SEPARATOR
        begin = f"{SEPARATOR}{'not ' * filters.marks}"
        sought = (f"{begin}{label}{SEPARATOR}" for label in filters.labels)
        wanted.append(or_(*(instr(in_cell, each) > 0 for each in sought)))
    if filters.origins:
        wanted.append(given.c.origin.in_(filters.origins))
    query = (
        select(given, _row.path, inbox.c.path.label("folder"))
        .select_from(
            given.outerjoin(recording, _row.id == chosen).outerjoin(
                inbox, inbox.c.id == _row.inbox_id
            )
        )
        .where(*wanted)
        .order_by(given.c.labelled_at.desc(), given.c.digest, given.c.start_s, given.c.end_s)
    )
    return query.limit(limit) if limit else query


def _record(one: Row[Any], decision: Decision) -> dict[str, object]:
    is_part = one.start_s or one.end_s
    return {
        "labelled_at": one.labelled_at,
        "path": printable_path(one.path) if one.path else None,
        "start": one.start_s if is_part else None,
        "end": one.end_s or None,
        "label": one.label,
        "predicted": decision.text,
        "confidence": None if decision.confidence is None else round(decision.confidence, 6),
        "origin": one.origin,
        "group": one.group_name,
        "inbox": printable_path(one.folder) if one.folder else None,
        "digest": one.digest,
        "author": one.author,
        "way": one.way,
    }


def _seconds(value: float | None) -> str:
    return "" if value is None else seconds_text(value)
