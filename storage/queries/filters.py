"""What may be asked of the ledger, and its words in SQL: filters, orders, moments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fnmatch import translate
from typing import Any, Literal

from sqlalchemy import ColumnElement, ScalarSelect, and_, case, func, literal, or_, select

from storage.database.tables import checkpoint, human_label, inbox, recording
from storage.values.decision import UNKNOWN, DisplayRules
from storage.values.recorded_at import on_the_wall

Status = Literal["done", "failed", "pending", "superseded", "all"]
Sort = Literal["newest", "oldest", "confidence", "path"]
Axis = Literal["label", "status", "checkpoint", "day", "folder"]

STATES: tuple[Status, ...] = ("done", "failed", "pending", "superseded")
SORTS: tuple[Sort, ...] = ("newest", "oldest", "confidence", "path")
SECONDS = len("2026-01-31T12:00:00")
_row = recording.c


@dataclass(frozen=True)
class Filters:
    """Which recordings. Times are stamps and `until` is exclusive.

    `checkpoint` is the start of a name or digest. `history` asks for every prediction of a
    recording instead of its current answer. `by_recorded`: times are those at which recordings
    began. `manner` is how answers are told, and labels are meant as they are told. Levels are in
    dBFS. `wrong` are those of which a person says something else.
    """

    status: Status = "done"
    labels: tuple[str, ...] = ()
    min_confidence: float | None = None
    max_confidence: float | None = None
    since: str | None = None
    until: str | None = None
    path: str | None = None
    checkpoint: str | None = None
    history: bool = False
    wrong: bool = False
    by_recorded: bool = False
    min_level: float | None = None
    max_level: float | None = None
    clipped: bool = False
    manner: DisplayRules = field(default=DisplayRules(), compare=False)

    @property
    def states(self) -> tuple[Status, ...]:
        return STATES if self.status == "all" else (self.status,)

    @property
    def is_of_rows(self) -> bool:
        """Whether it asks for what no tally knows."""
        unsure = bool(self.labels) and self.manner.knows_unknown
        return (
            self.bounds_confidence or self.wrong or self.by_recorded or self.needs_levels or unsure
        )

    @property
    def stored_labels(self) -> tuple[str, ...]:
        """Those that answers which fit have in the ledger; none: any."""
        return () if self.manner.knows_unknown and UNKNOWN in self.labels else self.labels

    @property
    def needs_levels(self) -> bool:
        return (self.min_level, self.max_level) != (None, None) or self.clipped

    @property
    def bounds_confidence(self) -> bool:
        return self.min_confidence is not None or self.max_confidence is not None

    def fit_answer(self, label: str | None, confidence: float | None) -> bool:
        """Whether an answer, or a part of one, has a label and a confidence that are asked for."""
        least, most = self.min_confidence or 0.0, self.max_confidence
        is_sure = least <= (confidence or 0.0) <= (1.0 if most is None else most)
        return is_sure and (not self.labels or label in self.labels)

    def of(self, status: Status) -> Filters:
        return replace(self, status=status)


def clauses(filters: Filters) -> Iterator[ColumnElement[bool]]:
    """What the recording itself can tell; not for a history."""
    if filters.status != "all":
        yield _row.state == filters.status
    yield from labelled(filters, _row.label, _row.confidence)
    if filters.checkpoint is not None:
        yield _row.checkpoint_id.in_(select(checkpoint.c.id).where(made_by(filters.checkpoint)))
    yield from confident(filters, _row.confidence)
    yield from timely(filters, moment(filters))
    if filters.path is not None:
        yield from fitting(filters.path)
    yield from of_sound(filters)
    if filters.wrong:
        yield from contradicted(as_told(filters, _row.label, _row.confidence))


def labelled(
    filters: Filters, label: ColumnElement[Any], confidence: ColumnElement[Any]
) -> Iterator[ColumnElement[bool]]:
    if filters.stored_labels:
        yield label.in_(filters.stored_labels)
    if filters.labels and filters.manner.knows_unknown:
        yield as_told(filters, label, confidence).in_(filters.labels)


def as_told(
    filters: Filters, label: ColumnElement[Any], confidence: ColumnElement[Any]
) -> ColumnElement[Any]:
    """`DisplayRules.label_of` in SQL."""
    manner = filters.manner
    if not manner.knows_unknown:
        return label
    below = literal(manner.unknown_below)
    known = [(label == name, least) for name, least in manner.thresholds]
    least = case(*known, else_=below) if known else below
    return case((confidence < least, UNKNOWN), else_=label)


def of_sound(filters: Filters) -> Iterator[ColumnElement[bool]]:
    """What the recording is, whatever the answer."""
    if filters.by_recorded:
        yield from recorded(filters)
    if filters.min_level is not None:
        yield _row.rms_dbfs >= filters.min_level
    if filters.max_level is not None:
        yield _row.rms_dbfs <= filters.max_level
    if filters.clipped:
        yield _row.clipped > 0


def human_labels() -> ScalarSelect[Any]:
    """What a person says that a recording as a whole is."""
    said = human_label.c
    whole = select(said.label).where(said.digest == _row.digest, said.start_s == 0, said.end_s == 0)
    return whole.scalar_subquery()


def contradicted(answer: ColumnElement[Any]) -> Iterator[ColumnElement[bool]]:
    """The first clause is for an index: few recordings have a human label."""
    yield _row.digest.in_(select(human_label.c.digest))
    yield human_labels() != answer


def recorded(filters: Filters) -> Iterator[ColumnElement[bool]]:
    """When it began; what does not tell fits no time. The first clause is for an index."""
    column, is_utc = _row.recorded_at, _row.recorded_at.endswith("Z")
    yield column.is_not(None)
    if filters.since is not None:
        utc, wall = filters.since[:SECONDS], on_the_wall(filters.since, filters.manner.zone)
        yield column >= min(utc, wall)
        yield column >= case((is_utc, utc), else_=wall)
    if filters.until is not None:
        utc, wall = filters.until[:SECONDS], on_the_wall(filters.until, filters.manner.zone)
        yield column < max(utc, wall)
        yield column < case((is_utc, utc), else_=wall)


def confident(filters: Filters, confidence: ColumnElement[Any]) -> Iterator[ColumnElement[bool]]:
    if filters.min_confidence is not None:
        yield confidence >= filters.min_confidence
    if filters.max_confidence is not None:
        yield confidence <= filters.max_confidence


def timely(filters: Filters, moment: ColumnElement[str]) -> Iterator[ColumnElement[bool]]:
    if filters.by_recorded:
        return
    if filters.since is not None:
        yield moment >= filters.since
    if filters.until is not None:
        yield moment < filters.until


def made_by(reference: str) -> ColumnElement[bool]:
    return or_(
        checkpoint.c.name.startswith(reference, autoescape=True),
        checkpoint.c.digest.startswith(reference, autoescape=True),
    )


def moment(filters: Filters) -> ColumnElement[str]:
    """When it came about: an answer's time, or that of being seen where there is none."""
    if filters.status in ("pending", "all"):
        return func.coalesce(_row.answered_at, _row.first_seen_at)
    return _row.answered_at


def fitting(glob: str) -> Iterator[ColumnElement[bool]]:
    if glob.startswith("/"):
        folder = inbox.alias()
        whole = select(folder.c.path_text).where(folder.c.id == _row.inbox_id).scalar_subquery()
        yield (whole + "/" + _row.path_text).regexp_match(rf"\A{translate(glob)}")
    else:
        yield _row.path_text.regexp_match(rf"\A{translate(glob)}")
        yield from beginning(glob)


def literal_beginning(glob: str) -> str:
    """What every path that fits begins with; a backslash may stand for a byte, and ends it."""
    return re.split(r"[*?\[\\]", glob, maxsplit=1)[0]


def beginning(glob: str) -> Iterator[ColumnElement[bool]]:
    """The same of the bytes, so that an index finds it."""
    first = b"" if glob.startswith("/") else literal_beginning(glob).encode()
    if first:
        behind = first[:-1] + bytes([first[-1] + 1])  # UTF-8 has no byte that is the last of all
        here = _row.inbox_id.in_(select(inbox.c.id))
        yield and_(here, _row.path >= first, _row.path < behind)
