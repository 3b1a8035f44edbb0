"""Which checkpoints a daemon refused."""

from __future__ import annotations

from sqlalchemy import select

from storage.database.engine import open_database
from storage.database.tables import checkpoint
from storage.errors import StorageError


def refused_checkpoints(url: str) -> frozenset[str]:
    """Names that a daemon refused when it met them last, by the ledger at an SQLAlchemy URL.

    None where that cannot be read: whoever activates a checkpoint must not need it.
    """
    newest = select(checkpoint.c.name, checkpoint.c.verdict).order_by(checkpoint.c.id)
    try:
        with open_database(url, "reader") as database, database.transaction() as connection:
            verdicts = {row.name: row.verdict for row in connection.execute(newest)}
    except StorageError:
        return frozenset()
    return frozenset(name for name, verdict in verdicts.items() if verdict == "refused")
