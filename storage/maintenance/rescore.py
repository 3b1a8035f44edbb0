"""Recordings that have an answer and are to be scored again, under the active checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, func, select, update

from storage.database.bulk import chunks
from storage.database.sqlite import Database
from storage.database.tables import checkpoint, recording
from storage.ledger.queue import again
from storage.queries.filters import Filters, checkpoint_clause, clauses
from storage.values.timestamps import utc_now

_AT_A_TIME = 5_000  # in one transaction, so that a daemon that runs beside is not held up
_row = recording.c


def count_rescorable(database: Database, filters: Filters, stale_under: str | None) -> int:
    """How many `requeue_answered` would queue."""
    with database.transaction() as connection:
        found = _rescorable(filters, stale_under).subquery()
        return connection.scalar(select(func.count()).select_from(found)) or 0


def requeue_answered(database: Database, filters: Filters, stale_under: str | None) -> int:
    """Queue answered recordings behind all other work; returns how many.

    Their answers stay until there are new ones, and in the history after that. With `stale_under`,
    a checkpoint's name, only those that another one answered.
    """
    queued = 0
    ids: Sequence[int] = [0]
    values = again("rescore", utc_now())
    query = _rescorable(filters, stale_under).order_by(_row.id).limit(_AT_A_TIME)
    while ids:
        with database.transaction() as connection:
            ids = connection.execute(query.where(_row.id > ids[-1])).scalars().all()
            for some in chunks(ids):
                connection.execute(update(recording).where(_row.id.in_(some)).values(values))
        queued += len(ids)
    return queued


def _rescorable(filters: Filters, stale_under: str | None) -> Select[Any]:
    """Not what is queued already."""
    query = select(_row.id).where(*clauses(filters.with_status("done")), _row.requeued.is_(None))
    if stale_under is None:
        return query
    same = select(checkpoint.c.id).where(checkpoint_clause(stale_under))
    return query.where(_row.checkpoint_id.not_in(same))
