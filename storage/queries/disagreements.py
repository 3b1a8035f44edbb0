"""Where two checkpoints say different things of the same recordings: counted by the database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from storage.database.decision_sql import AnswerColumns, told_labels
from storage.database.tables import checkpoint, prediction, recording
from storage.errors import StorageError
from storage.queries.filters import Filters, checkpoint_clause, clauses

# SQLite sorts what it groups, in memory: 75 bytes for each recording.
_AT_A_TIME = 250_000

_a, _b = prediction.alias("a"), prediction.alias("b")
_ANSWERS = tuple(
    AnswerColumns(one.c.label, one.c.confidence, one.c.id, one.c.checkpoint_id) for one in (_a, _b)
)


@dataclass(frozen=True)
class ComparedCheckpoint:
    """A checkpoint that has answered."""

    id: int
    name: str


@dataclass(frozen=True)
class Pair:
    """How many recordings have these two answers, and the mean confidence of each.

    An answer of several labels is one text, `a;b`.
    """

    a: str
    b: str
    count: int
    a_confidence: float
    b_confidence: float

    @property
    def is_agreement(self) -> bool:
        return self.a == self.b


@dataclass(frozen=True)
class Disagreement:
    """One recording of which two checkpoints say different things."""

    path: str
    a: str
    a_confidence: float
    b: str
    b_confidence: float


def answering(connection: Connection, reference: str) -> ComparedCheckpoint:
    """The one whose name or digest begins so.

    Raises StorageError where none that has answered does, or several do.
    """
    query = select(checkpoint.c.id, checkpoint.c.name).order_by(checkpoint.c.name)
    named = connection.execute(query.where(checkpoint_clause(reference))).all()
    found = [ComparedCheckpoint(*row) for row in named if _has_answered(connection, row.id)]
    if len(found) == 1:
        return found[0]
    if found:
        names = " or ".join(each.name for each in found)
        raise StorageError(f"{reference} may be {names}; write more of it")
    known = names_that_answered(connection)
    raise StorageError(
        f"no checkpoint {reference} has answered; those that have: {known}"
        " (`clfd rescore --stale` has the active one answer what others have)"
    )


def names_that_answered(connection: Connection) -> str:
    query = select(checkpoint.c.name).order_by(checkpoint.c.name)
    have = query.where(checkpoint.c.id.in_(select(prediction.c.checkpoint_id).distinct()))
    return ", ".join(connection.scalars(have)) or "none yet"


def pairs(
    connection: Connection, a: ComparedCheckpoint, b: ComparedCheckpoint, filters: Filters
) -> list[Pair]:
    """Of all recordings that both have scored: each pair of answers.

    Disagreements stand before agreements, the commonest first.
    """
    sums: dict[tuple[str, str], tuple[int, float, float]] = {}
    for *answers, count, a_confidence, b_confidence in _counted(connection, a, b, filters):
        n, of_a, of_b = sums.get(key := (answers[0], answers[1]), (0, 0.0, 0.0))
        sums[key] = (n + count, of_a + a_confidence, of_b + b_confidence)
    found = [Pair(*key, n, of_a / n, of_b / n) for key, (n, of_a, of_b) in sums.items()]
    return sorted(found, key=lambda pair: (pair.is_agreement, -pair.count, pair.a, pair.b))


def disputes(
    connection: Connection,
    a: ComparedCheckpoint,
    b: ComparedCheckpoint,
    filters: Filters,
    limit: int,
) -> Iterator[Disagreement]:
    """Those first in which both are surest."""
    of_a, of_b = _told(connection, filters)
    columns = recording.c.path_text, of_a, _a.c.confidence, of_b, _b.c.confidence
    query = _with_recording(_shared(columns, a, b))
    query = query.where(of_a != of_b, *clauses(filters))
    surest = (_a.c.confidence + _b.c.confidence).desc()
    for row in connection.execute(query.order_by(surest, recording.c.id).limit(limit)):
        yield Disagreement(*row)


def _counted(
    connection: Connection, a: ComparedCheckpoint, b: ComparedCheckpoint, filters: Filters
) -> Iterator[Sequence[Any]]:
    """Labels, count and sums of confidence, piece by piece: a pair may come several times."""
    confidences = func.sum(_a.c.confidence), func.sum(_b.c.confidence)
    told = _told(connection, filters)
    query = _shared((*told, func.count(), *confidences), a, b).group_by(*told)
    which = [*clauses(filters)]
    number = prediction.c.recording_id
    first = connection.scalar(select(func.min(number))) or 0
    last = connection.scalar(select(func.max(number))) or 0
    for start in range(first, last + 1, _AT_A_TIME):
        end = start + _AT_A_TIME - 1
        piece = query.where(_a.c.recording_id.between(start, end))
        if which:  # else the recordings need not be looked up
            piece = _with_recording(piece).where(recording.c.id.between(start, end), *which)
        yield from connection.execute(piece)


def _told(connection: Connection, filters: Filters) -> tuple[ColumnElement[Any], ...]:
    """All labels of each answer."""
    rules = filters.within(connection).rules
    return tuple(told_labels(rules, answer) for answer in _ANSWERS)


def _has_answered(connection: Connection, checkpoint_id: int) -> bool:
    """Asked of one by one: within a larger question SQLite makes an index of all answers."""
    one = select(prediction.c.id).where(prediction.c.checkpoint_id == checkpoint_id).limit(1)
    return connection.scalar(one) is not None


def _shared(columns: Any, a: ComparedCheckpoint, b: ComparedCheckpoint) -> Select[Any]:
    return (
        select(*columns)
        .select_from(_a)
        .join(_b, _b.c.recording_id == _a.c.recording_id)
        .where(_a.c.checkpoint_id == a.id, _b.c.checkpoint_id == b.id)
    )


def _with_recording(query: Select[Any]) -> Select[Any]:
    return query.join(recording, recording.c.id == _a.c.recording_id)
