"""Checkpoints as the ledger knows them: those that a daemon accepted, and those it refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert, select, update

from storage.database.engine import open_database
from storage.database.tables import checkpoint
from storage.errors import StorageError
from storage.values.decision import is_negative
from storage.values.text import printable

_SINGLE = {"task": "single", "thresholds": None}


def refused_checkpoints(url: str) -> frozenset[str]:
    """Names that a daemon refused when it met them last, by the ledger at an SQLAlchemy URL.

    None where that cannot be read: whoever activates a checkpoint must not need it.
    """
    try:
        with open_database(url, "reader") as database, database.transaction() as connection:
            return frozenset(refusals(connection))
    except StorageError:
        return frozenset()


def refusals(connection: Connection) -> dict[str, str]:
    """Why a daemon refused a checkpoint when it met it last, by name."""
    columns = checkpoint.c.name, checkpoint.c.verdict, checkpoint.c.reason
    newest = {
        row.name: row for row in connection.execute(select(*columns).order_by(checkpoint.c.id))
    }
    return {name: row.reason for name, row in newest.items() if row.verdict == "refused"}


def accepted_checkpoint(
    name: str, labels: Sequence[str], clip_seconds: float, facts: Mapping[str, Any]
) -> dict[str, object]:
    decides = decision_facts(facts)
    has_one = decides == _SINGLE and not any(map(is_negative, labels))
    return {
        "name": name,
        **decides,
        **({} if has_one else {"one_label": 0}),
        "labels": json.dumps(list(labels), ensure_ascii=False),
        "clip_seconds": clip_seconds,
        "facts": json.dumps(dict(facts), ensure_ascii=False),
        "verdict": "accepted",
        "reason": None,
    }


def decision_facts(facts: Mapping[str, Any]) -> dict[str, str | None]:
    """Task and thresholds of a checkpoint, as the ledger keeps them, from its metadata."""
    own = {label: one["threshold"] for label, one in (facts.get("thresholds") or {}).items()}
    thresholds = json.dumps(own, ensure_ascii=False) if own else None
    return {"task": facts.get("task", "single"), "thresholds": thresholds}


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
