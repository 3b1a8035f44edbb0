"""The filters of the results, and the WHERE that they make."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    case,
    func,
    literal,
    or_,
    select,
)

from storage.database.decision_sql import (
    CURRENT,
    ENTRY,
    STORED,
    AnswerColumns,
    is_found,
    is_told,
    rules_within,
    told_confidence,
    told_label,
)
from storage.database.functions import has_glob
from storage.database.tables import (
    checkpoint,
    finding,
    inbox,
    prediction,
    recording,
    recording_label,
)
from storage.labels.human_labels import differs_from_human, has_human_label, has_no_human_label
from storage.values.decision import NONE, UNKNOWN, DisplayRules
from storage.values.timestamps import to_local_time

Status = Literal["done", "failed", "pending", "superseded", "all"]
Sort = Literal["newest", "oldest", "confidence", "path"]
Axis = Literal["label", "status", "checkpoint", "day", "folder", "site", "hour"]

STATES: tuple[Status, ...] = ("done", "failed", "pending", "superseded")
SORTS: tuple[Sort, ...] = ("newest", "oldest", "confidence", "path")
SECONDS = len("2026-01-31T12:00:00")
ANSWER = "ix_recording_answer"
LABEL = "recording_label"  # a table that is an index, by label and time
CONFIDENCE, MOMENT = "ix_recording_confidence", "ix_recording_moment"
DIGEST, RECORDED = "ix_recording_digest", "ix_recording_recorded"
NUMBER = "ix_recording_answer_number"
AFTER_ALL = "U"  # comes after the T of a stamp: behind the last moment of its day
_row = recording.c


@dataclass(frozen=True)
class Filters:
    """Which recordings. Times are stamps and `until` is exclusive.

    `checkpoint` is the start of a name or digest. `history` asks for every prediction of a
    recording instead of its current answer. `by_recorded`: times are those at which recordings
    began. `rules` say how answers are shown, and labels are meant as they are shown: any of them
    fits. `clip_labels`: a clip of it may have one of them. Levels are in dBFS. `labelled` are those
    of which, or of a part of which, a person says what it is, `author` those of which this person
    does, and `unlabelled` all others; `wrong` those of which a person says something else.
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
    labelled: bool = False
    unlabelled: bool = False
    author: str | None = None
    clip_labels: tuple[str, ...] = ()
    min_novelty: float | None = None
    rules: DisplayRules = field(default=DisplayRules(), compare=False)

    @property
    def states(self) -> tuple[Status, ...]:
        return STATES if self.status == "all" else (self.status,)

    @property
    def is_tallied(self) -> bool:
        """Whether the tally by day, label and checkpoint knows all that is asked."""
        unsure = bool(self.labels) and not self.rules.tells_stored_label
        of_people = self.of_people or self.unlabelled
        of_rows = self.bounds_confidence or self.needs_levels or of_people or self.by_recorded
        of_rows = of_rows or self.min_novelty is not None
        return self.path is None and not (of_rows or unsure or self.clip_labels)

    @property
    def indexed_labels(self) -> tuple[str, ...]:
        """Of which all that fits has one, as the index of findings knows them; none: any."""
        labels = self.labels or self.clip_labels
        return () if {NONE, UNKNOWN} & {*labels} else tuple(dict.fromkeys(labels))

    @property
    def of_people(self) -> bool:
        """Whether all that fits has a label of a person."""
        return self.wrong or self.labelled or self.author is not None

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

    def within(self, connection: Connection) -> Filters:
        """With what its rules need not ask of this ledger."""
        return replace(self, rules=rules_within(connection, self.rules))

    def with_status(self, status: Status) -> Filters:
        return replace(self, status=status)


def clauses(filters: Filters) -> Iterator[ColumnElement[bool]]:
    """All filters; of a history they are about `prediction`, which has to be joined."""
    if filters.labels or filters.clip_labels:
        yield label_clause(filters)
    yield from _further_clauses(filters)


def labelled(filters: Filters, *columns: ColumnElement[Any]) -> Select[Any]:
    """These columns of what fits, from the index of findings, which has to know the labels.

    A recording comes once for each of the labels.
    """
    entry = recording_label.c
    query = select(*columns).select_from(recording_label)
    query = query.join(recording, _row.id == entry.recording_id)
    query = query.with_hint(recording, "NOT INDEXED", "sqlite")
    if not filters.clip_labels:
        query = query.where(is_told(filters.rules, entry.label, entry.probability, ENTRY))
    if not filters.by_recorded:
        ends = filters.since or "", filters.until or AFTER_ALL
        query = query.where(entry.answered_at.between(*ends))
    return query.where(*_further_clauses(filters))


def _further_clauses(filters: Filters) -> Iterator[ColumnElement[bool]]:
    """All but the labels."""
    answer = answer_columns(filters)
    if filters.status != "all":
        yield _row.state == filters.status
    if filters.checkpoint is not None:
        named = select(checkpoint.c.id).where(checkpoint_clause(filters.checkpoint))
        yield answer.checkpoint_id.in_(named)
    yield from confidence_clauses(filters)
    yield from range_clauses(answer.novelty, filters.min_novelty, None)
    yield from time_clauses(filters)
    if filters.path is not None:
        yield from path_clauses(filters.path)
    yield from range_clauses(_row.rms_dbfs, filters.min_level, filters.max_level)
    if filters.clipped:
        yield _row.clipped > 0
    if filters.of_people:
        yield has_human_label(filters.author)
    if filters.unlabelled:
        yield has_no_human_label()
    if filters.wrong:
        yield differs_from_human(filters.rules, answer)


def answer_columns(filters: Filters) -> AnswerColumns:
    return STORED if filters.history else CURRENT


def label_clause(filters: Filters) -> ColumnElement[bool]:
    """Any of the labels is told of it; NONE and UNKNOWN are told alone, of what is unsure."""
    rules, answer = filters.rules, answer_columns(filters)
    if filters.labels and {*filters.labels} <= {NONE, UNKNOWN}:
        is_told_alone = told_label(rules, answer).in_(filters.labels)
        is_unsure = answer.confidence < rules.nothing_below
        return and_(is_unsure, is_told_alone) if isfinite(rules.nothing_below) else is_told_alone
    if filters.labels and rules.one_label:
        return told_label(rules, answer).in_(filters.labels)
    labels = [label for label in filters.labels if label not in (NONE, UNKNOWN)]
    own = finding.alias("own")
    is_own = own.c.prediction_id == answer.prediction_id
    found = select(literal(1)).where(
        and_(is_own, own.c.label.in_(filters.clip_labels))
        if filters.clip_labels
        else and_(is_found(rules, own, answer), own.c.label.in_(labels))
    )
    has_one = found.correlate_except(own, checkpoint).exists()
    if len(labels) == len(filters.labels):
        return has_one
    return or_(has_one, told_label(rules, answer).in_({NONE, UNKNOWN} & {*filters.labels}))


def confidence_clauses(filters: Filters) -> Iterator[ColumnElement[bool]]:
    answer = answer_columns(filters)
    yield from range_clauses(answer.confidence, *stored_bounds(filters))
    if filters.bounds_confidence and not filters.rules.one_label:
        bounds = filters.min_confidence, filters.max_confidence
        yield from range_clauses(told_confidence(filters.rules, answer), *bounds)


def stored_bounds(filters: Filters) -> tuple[float | None, float | None]:
    """Of the most probable label, for an index: what is told is no surer.

    It is less sure only where another label is told, and this one is below its threshold.
    """
    least, most, rules = filters.min_confidence, filters.max_confidence, filters.rules
    if most is None or rules.one_label or most < rules.told_from:
        return least, most
    return least, max(most, rules.nothing_below) if isfinite(rules.nothing_below) else None


def joined(filters: Filters) -> FromClause:
    """The FROM: outer joins, so that the planner starts at the recording and drops the others."""
    answer: ColumnElement[bool] = prediction.c.id == _row.prediction_id
    if filters.history:
        answer = or_(answer, prediction.c.recording_id == _row.id)
    return (
        recording.outerjoin(inbox, inbox.c.id == _row.inbox_id)
        .outerjoin(prediction, answer)
        .outerjoin(checkpoint, checkpoint.c.id == prediction.c.checkpoint_id)
    )


def range_clauses(
    column: ColumnElement[Any], least: float | None, most: float | None
) -> Iterator[ColumnElement[bool]]:
    if least is not None:
        yield column >= least
    if most is not None:
        yield column <= most


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
        utc, wall = filters.since[:SECONDS], to_local_time(filters.since, filters.rules.zone)
        yield column >= min(utc, wall)
        yield column >= case((is_utc, utc), else_=wall)
    if filters.until is not None:
        utc, wall = filters.until[:SECONDS], to_local_time(filters.until, filters.rules.zone)
        yield column < max(utc, wall)
        yield column < case((is_utc, utc), else_=wall)


def moment(filters: Filters) -> ColumnElement[str]:
    """When it came about: an answer's time, or that of being seen where there is none."""
    if filters.history:
        return func.coalesce(prediction.c.classified_at, _row.answered_at, _row.first_seen_at)
    if filters.status in ("pending", "all"):
        return func.coalesce(_row.answered_at, _row.first_seen_at)
    return _row.answered_at


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
        yield has_glob(whole + "/" + _row.path_text, glob)
        return
    yield from path_prefix_clauses(glob)
    if glob != f"{path_prefix(glob)}*":  # which the prefix says already, in a tenth of the time
        yield has_glob(_row.path_text, glob)


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


def by_index(query: Select[Any], index: str) -> Select[Any]:
    """Name the index to read, where SQLite would have to guess; other databases are not told."""
    return query.with_hint(recording, f"INDEXED BY {index}", "sqlite")
