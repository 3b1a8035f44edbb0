"""How long the queue has been waiting."""

from __future__ import annotations

from sqlalchemy import select, text

from storage.database.tables import is_queued, recording
from storage.ledger.ledger import Ledger

_row = recording.c
# The queue's index holds new recordings in the order in which they were seen.
_OLDEST = (
    select(_row.first_seen_at)
    .where(text(f"({is_queued})"), _row.requeued.is_(None))
    .order_by(_row.id)
    .limit(1)
)


def oldest_pending(ledger: Ledger) -> str | None:
    """When the recording that has been pending longest was first seen. Raises LedgerUnavailable."""
    with ledger.database.transaction() as connection:
        found: str | None = connection.scalar(_OLDEST)
        return found
