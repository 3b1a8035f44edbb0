"""A ledger brought from a file to a server, or back, and proof that nothing changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from sqlalchemy import Connection, Table, delete, func, insert, select, text, update

from storage.database.database import Database
from storage.database.indexes import metadata
from storage.database.tables import answer_counter, checkpoint, human_label, inbox, lease, recording
from storage.errors import StorageError
from storage.values.progress import ProgressTicker
from storage.values.timestamps import utc_now

_AT_ONCE = 1000
# Recordings and predictions name each other.
_KEY = "fk_recording_prediction_id"
_ADD_KEY = f"ADD CONSTRAINT {_KEY} FOREIGN KEY (prediction_id) REFERENCES prediction (id)"


class Copied(NamedTuple):
    """A table: how many rows, and the SHA-256 of all that is in them."""

    table: str
    rows: int
    digest: str


def copy_ledger(
    source: Database, target: Database, machine: str, progress: ProgressTicker
) -> list[Copied]:
    """All rows, in one transaction of the target, which is read again before it is committed.

    What daemons of the source had claimed is free then; of a file the inboxes are those of this
    `machine`. Raises StorageError, and leaves the target as it was, where it has rows already or
    does not give back what it was given; and AlreadyRunning where daemons live on a server.
    """
    copied = []
    source.require_alone()
    with source.transaction() as reading, target.transaction() as writing:
        _require_empty(writing, target.place)
        writing.execute(delete(answer_counter))
        on_server = target.file is None
        suspend = f"ALTER TABLE recording DROP CONSTRAINT {_KEY}"
        writing.execute(text(suspend if on_server else "PRAGMA defer_foreign_keys = ON"))
        for table in metadata.sorted_tables:
            copied.append(_copy(table, reading, writing, progress))
            found = _proof(table, writing)
            if found != copied[-1]:
                raise StorageError(
                    f"{target.place} gives back other rows of {table.name} than it was given"
                    f" ({found.rows} of {copied[-1].rows}), so nothing was copied"
                )
            if on_server:
                _go_on_counting(table, writing)
        if on_server:
            writing.execute(text(f"ALTER TABLE recording {_ADD_KEY}"))
        else:
            writing.execute(update(inbox).where(inbox.c.place == machine).values(place=""))
        writing.execute(update(lease).where(lease.c.ended_at.is_(None)).values(ended_at=utc_now()))
        claimed = update(recording).where(recording.c.claimed_by.is_not(None))
        writing.execute(claimed.values(claimed_by=None, claimed_at=None))
    return copied


def _require_empty(connection: Connection, place: str) -> None:
    for table in (recording, checkpoint, human_label):
        if connection.execute(select(table).limit(1)).first():
            raise StorageError(
                f"{place} has rows already; name an empty database, or another schema"
            )


def _copy(
    table: Table, reading: Connection, writing: Connection, progress: ProgressTicker
) -> Copied:
    digest, n_rows, rows = hashlib.sha256(), 0, _rows(table, reading)
    while some := list(islice(rows, _AT_ONCE)):
        for row in some:
            digest.update(repr(row).encode())
        names = [column.name for column in table.c]
        writing.execute(insert(table), [dict(zip(names, row, strict=True)) for row in some])
        n_rows += len(some)
        progress.tick(f"{table.name}: {n_rows} rows")
    return Copied(table.name, n_rows, digest.hexdigest())


def _proof(table: Table, connection: Connection) -> Copied:
    digest, n_rows = hashlib.sha256(), 0
    for row in _rows(table, connection):
        digest.update(repr(row).encode())
        n_rows += 1
    return Copied(table.name, n_rows, digest.hexdigest())


def _rows(table: Table, connection: Connection) -> Iterator[tuple[object, ...]]:
    """In the order of their keys."""
    query = select(table).order_by(*table.primary_key)
    for row in connection.execute(query, execution_options={"yield_per": _AT_ONCE}):
        yield tuple(row)


def _go_on_counting(table: Table, connection: Connection) -> None:
    """Numbers that the server gives go on behind those that came."""
    key = table.autoincrement_column
    if key is None:
        return
    sequence = func.pg_get_serial_sequence(table.name, key.name)
    highest = select(func.max(key)).scalar_subquery()
    counted = func.setval(sequence, func.coalesce(highest, 1), highest.is_not(None))
    connection.execute(select(counted))
