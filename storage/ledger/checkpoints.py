"""Checkpoints as the ledger knows them: those that a daemon accepted, and those it refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, insert, select, update

from storage.database.engine import open_database
from storage.database.tables import checkpoint
from storage.errors import StorageError
from storage.values.text import printable


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


def accepted_checkpoint(
    name: str, labels: Sequence[str], clip_seconds: float, facts: Mapping[str, object]
) -> dict[str, object]:
    return {
        "name": name,
        "labels": json.dumps(list(labels), ensure_ascii=False),
        "clip_seconds": clip_seconds,
        "facts": json.dumps(dict(facts), ensure_ascii=False),
        "verdict": "accepted",
        "reason": None,
    }


def refused_checkpoint(name: str, reason: str) -> dict[str, object]:
    return {"name": name, "verdict": "refused", "reason": printable(reason)}


def put_checkpoint(
    connection: Connection, digest: str, values: Mapping[str, object], now: str
) -> int:
    """Write what is known of a checkpoint now, met before or not; returns its id."""
    found = connection.scalar(select(checkpoint.c.id).where(checkpoint.c.digest == digest))
    if found is not None:
        connection.execute(update(checkpoint).where(checkpoint.c.id == found).values(dict(values)))
        return int(found)
    unread = {"labels": "[]", "facts": "{}", "digest": digest, "seen_at": now}
    added = insert(checkpoint).values({**unread, **values}).returning(checkpoint.c.id)
    return int(connection.execute(added).scalar_one())
