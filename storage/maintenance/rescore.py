"""Recordings that have an answer and are to be scored again, under the active checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, false, func, not_, select, update

from storage.database.bulk import chunks
from storage.database.database import Database
from storage.database.tables import checkpoint, prediction, recording
from storage.ledger.queue import again
from storage.queries.filters import Filters, checkpoint_clause, clauses
from storage.values.timestamps import utc_now

_AT_A_TIME = 5_000  # in one transaction, so that a daemon that runs beside is not held up
_row = recording.c


@dataclass(frozen=True)
class Settled:
    """What a rescore would only repeat: answers of this checkpoint under these settings."""

    checkpoint: str
    scoring: str


@dataclass(frozen=True)
class RescoreCount:
    """How many of the recordings that are meant can be queued, are settled, or queued already.

    `resettled` counts those to be queued that the same checkpoint answered under other settings.
    """

    queueable: int
    settled: int
    queued: int
    resettled: int


def count_rescorable(
    database: Database, filters: Filters, stale_under: str | None, settled: Settled | None = None
) -> RescoreCount:
    """What `requeue_answered` would do."""
    is_free, is_settled = _row.requeued.is_(None), _is_settled(settled)
    is_by_it = false() if settled is None else _is_by(settled.checkpoint)
    counted = (
        and_(is_free, not_(is_settled)),
        and_(is_free, is_settled),
        not_(is_free),
        and_(is_free, not_(is_settled), is_by_it),
    )
    numbers = (func.count().filter(clause) for clause in counted)
    query = _selected(filters, stale_under).with_only_columns(*numbers)
    with database.transaction() as connection:
        return RescoreCount(*map(int, connection.execute(query).one()))


def requeue_answered(
    database: Database, filters: Filters, stale_under: str | None, settled: Settled | None = None
) -> int:
    """Queue answered recordings behind all other work; returns how many.

    Their answers stay until there are new ones. With `stale_under`, a checkpoint's name, only
    those that another one answered; without what is `settled`, and what is queued already.
    """
    queued = 0
    ids: Sequence[int] = [0]
    values = again("rescore", utc_now())
    query = _selected(filters, stale_under).where(_row.requeued.is_(None), ~_is_settled(settled))
    query = query.order_by(_row.id).limit(_AT_A_TIME)
    while ids:
        with database.transaction() as connection:
            ids = connection.execute(query.where(_row.id > ids[-1])).scalars().all()
            for some in chunks(ids):
                connection.execute(update(recording).where(_row.id.in_(some)).values(values))
        queued += len(ids)
    return queued


def _selected(filters: Filters, stale_under: str | None) -> Select[Any]:
    query = select(_row.id).where(*clauses(filters.with_status("done")))
    return query if stale_under is None else query.where(~_is_by(stale_under))


def _is_by(reference: str) -> ColumnElement[bool]:
    same = select(checkpoint.c.id).where(checkpoint_clause(reference))
    return _row.checkpoint_id.in_(same)


def _is_settled(settled: Settled | None) -> ColumnElement[bool]:
    if settled is None:
        return false()
    is_so = exists().where(
        prediction.c.id == _row.prediction_id, prediction.c.scoring == settled.scoring
    )
    return and_(_is_by(settled.checkpoint), is_so)
