"""The filters of the results, and the WHERE that they make: every clause in one pass."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fnmatch import translate
from typing import Any, Literal

from sqlalchemy import ColumnElement, ScalarSelect, and_, case, func, or_, select

from storage.database.tables import checkpoint, human_label, inbox, prediction, recording
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
    began. `rules` say how answers are shown, and labels are meant as they are shown. Levels are in
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
    rules: DisplayRules = field(default=DisplayRules(), compare=False)

    @property
    def states(self) -> tuple[Status, ...]:
        return STATES if self.status == "all" else (self.status,)

    @property
    def is_of_rows(self) -> bool:
        """Whether it asks for what no tally knows."""
        unsure = bool(self.labels) and self.rules.knows_unknown
        return (
            self.bounds_confidence or self.wrong or self.by_recorded or self.needs_levels or unsure
        )

    @property
    def stored_labels(self) -> tuple[str, ...]:
        """Those that answers which fit have in the ledger; none: any."""
        return () if self.rules.knows_unknown and UNKNOWN in self.labels else self.labels

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
    """All filters; of a history they are about `prediction`, which has to be joined."""
    answer = prediction.c if filters.history else _row
    shown_label = filters.rules.label_sql(answer.label, answer.confidence)
    if filters.status != "all":
        yield _row.state == filters.status
    yield from label_clauses(filters, answer.label, shown_label)
    if filters.checkpoint is not None:
        named = select(checkpoint.c.id).where(checkpoint_clause(filters.checkpoint))
        yield answer.checkpoint_id.in_(named)
    yield from confidence_clauses(filters, answer.confidence)
    yield from time_clauses(filters)
    if filters.path is not None:
        yield from path_clauses(filters.path)
    yield from level_clauses(filters)
    if filters.wrong:
        yield from wrong_clauses(shown_label)


def label_clauses(
    filters: Filters, stored: ColumnElement[Any], shown: ColumnElement[Any]
) -> Iterator[ColumnElement[bool]]:
    """Labels are meant as they are shown; the first clause is for an index."""
    if filters.stored_labels:
        yield stored.in_(filters.stored_labels)
    if filters.labels and filters.rules.knows_unknown:
        yield shown.in_(filters.labels)


def confidence_clauses(
    filters: Filters, confidence: ColumnElement[Any] = _row.confidence
) -> Iterator[ColumnElement[bool]]:
    if filters.min_confidence is not None:
        yield confidence >= filters.min_confidence
    if filters.max_confidence is not None:
        yield confidence <= filters.max_confidence


def time_clauses(filters: Filters) -> Iterator[ColumnElement[bool]]:
    if filters.by_recorded:
        yield from recorded_clauses(filters)
        return
    if filters.since is not None:
        yield moment(filters) >= filters.since
    if filters.until is not None:
        yield moment(filters) < filters.until


def recorded_clauses(filters: Filters) -> Iterator[ColumnElement[bool]]:
    """When it began; what does not tell fits no time. The first clause is for an index."""
    column, is_utc = _row.recorded_at, _row.recorded_at.endswith("Z")
    yield column.is_not(None)
    if filters.since is not None:
        utc, wall = filters.since[:SECONDS], on_the_wall(filters.since, filters.rules.zone)
        yield column >= min(utc, wall)
        yield column >= case((is_utc, utc), else_=wall)
    if filters.until is not None:
        utc, wall = filters.until[:SECONDS], on_the_wall(filters.until, filters.rules.zone)
        yield column < max(utc, wall)
        yield column < case((is_utc, utc), else_=wall)


def moment(filters: Filters) -> ColumnElement[str]:
    """When it came about: an answer's time, or that of being seen where there is none."""
    if filters.history:
        return func.coalesce(prediction.c.classified_at, _row.answered_at, _row.first_seen_at)
    if filters.status in ("pending", "all"):
        return func.coalesce(_row.answered_at, _row.first_seen_at)
    return _row.answered_at


def level_clauses(filters: Filters) -> Iterator[ColumnElement[bool]]:
    if filters.min_level is not None:
        yield _row.rms_dbfs >= filters.min_level
    if filters.max_level is not None:
        yield _row.rms_dbfs <= filters.max_level
    if filters.clipped:
        yield _row.clipped > 0


def wrong_clauses(label: ColumnElement[Any]) -> Iterator[ColumnElement[bool]]:
    """The first clause is for an index: few recordings have a human label."""
    yield _row.digest.in_(select(human_label.c.digest))
    yield human_labels() != label


def human_labels() -> ScalarSelect[Any]:
    """What a person says that a recording as a whole is."""
    said = human_label.c
    whole = select(said.label).where(said.digest == _row.digest, said.start_s == 0, said.end_s == 0)
    return whole.scalar_subquery()


def checkpoint_clause(reference: str) -> ColumnElement[bool]:
    """Of `checkpoint`: its name or digest begins so."""
    return or_(
        checkpoint.c.name.startswith(reference, autoescape=True),
        checkpoint.c.digest.startswith(reference, autoescape=True),
    )


def path_clauses(glob: str) -> Iterator[ColumnElement[bool]]:
    if glob.startswith("/"):
        folder = inbox.alias()
        whole = select(folder.c.path_text).where(folder.c.id == _row.inbox_id).scalar_subquery()
        yield (whole + "/" + _row.path_text).regexp_match(rf"\A{translate(glob)}")
        return
    yield from path_prefix_clauses(glob)
    if glob != f"{path_prefix(glob)}*":  # which the prefix says already, in a tenth of the time
        yield _row.path_text.regexp_match(rf"\A{translate(glob)}")


def path_prefix(glob: str) -> str:
    """What every path that fits begins with; a backslash may stand for a byte, and ends it."""
    return re.split(r"[*?\[\\]", glob, maxsplit=1)[0]


def path_prefix_clauses(glob: str) -> Iterator[ColumnElement[bool]]:
    """The same of the bytes, so that an index finds it."""
    first = b"" if glob.startswith("/") else path_prefix(glob).encode()
    if first:
        behind = first[:-1] + bytes([first[-1] + 1])  # UTF-8 has no byte that is the last of all
        here = _row.inbox_id.in_(select(inbox.c.id))
        yield and_(here, _row.path >= first, _row.path < behind)
