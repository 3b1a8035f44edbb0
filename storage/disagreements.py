"""Where two checkpoints say different things of the same recordings: counted by the database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, exists, func, select

from storage.errors import StorageError
from storage.filters import Filters, clauses, made_by
from storage.tables import checkpoint, prediction, recording

_a, _b = prediction.alias("a"), prediction.alias("b")


@dataclass(frozen=True)
class Answering:
    """A checkpoint that has answered; `labels` in the order of its scores."""

    id: int
    name: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """How many recordings have these two answers, and the mean confidence of each."""

    a: str
    b: str
    count: int
    a_confidence: float
    b_confidence: float


@dataclass(frozen=True)
class Dispute:
    """One recording of which two checkpoints say different things."""

    path: str
    a: str
    a_confidence: float
    b: str
    b_confidence: float


def answering(connection: Connection, reference: str) -> Answering:
    """The one whose name or digest begins so.

    Raises StorageError where none that has answered does, or several do.
    """
    query = select(checkpoint.c.id, checkpoint.c.name, checkpoint.c.labels)
    has_answered = exists().where(prediction.c.checkpoint_id == checkpoint.c.id)
    found = connection.execute(query.where(made_by(reference), has_answered)).all()
    if len(found) == 1:
        ((number, name, labels),) = found
        return Answering(number, name, tuple(json.loads(labels)))
    names = [row.name for row in found]
    if names:
        raise StorageError(f"{reference} may be {' or '.join(names)}; write more of it")
    names = [row.name for row in connection.execute(query.where(has_answered))]
    known = ", ".join(sorted(names)) or "none yet"
    raise StorageError(
        f"no checkpoint {reference} has answered; those that have: {known}"
        " (activate it, then `clfd rescore --stale`)"
    )


def pairs(connection: Connection, a: Answering, b: Answering, filters: Filters) -> list[Pair]:
    """Of all recordings that both have scored: each pair of answers, the commonest first."""
    columns = (
        _a.c.label,
        _b.c.label,
        func.count(),
        func.avg(_a.c.confidence),
        func.avg(_b.c.confidence),
    )
    counted = _shared(columns, a, b, filters).group_by(_a.c.label, _b.c.label)
    found = [Pair(*row) for row in connection.execute(counted)]
    return sorted(found, key=lambda pair: (-pair.count, pair.a, pair.b))


def disputes(
    connection: Connection, a: Answering, b: Answering, filters: Filters, limit: int
) -> Iterator[Dispute]:
    """Those first in which both are surest."""
    columns = (
        recording.c.path_text,
        *(_a.c.label, _a.c.confidence),
        *(_b.c.label, _b.c.confidence),
    )
    query = _shared(columns, a, b, filters).where(_a.c.label != _b.c.label)
    surest = (_a.c.confidence + _b.c.confidence).desc()
    for row in connection.execute(query.order_by(surest, recording.c.id).limit(limit)):
        yield Dispute(*row)


def _shared(columns: Any, a: Answering, b: Answering, filters: Filters) -> Select[Any]:
    return (
        select(*columns)
        .select_from(_a)
        .join(_b, _b.c.recording_id == _a.c.recording_id)
        .join(recording, recording.c.id == _a.c.recording_id)
        .where(_a.c.checkpoint_id == a.id, _b.c.checkpoint_id == b.id, *clauses(filters))
    )
