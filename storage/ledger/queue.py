"""The queue: what waits for an answer, in which order, and who works on it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    exists,
    or_,
    select,
    text,
    update,
)

from storage.database.bulk import chunks
from storage.database.tables import inbox, is_queued, recording
from storage.ledger.outcomes import Claim
from storage.values.timestamps import later

# A stamp further ahead than any wait was made by a clock that has been set back since.
MAX_WAIT_SECONDS = 3600.0
_row = recording.c
_IS_PENDING = and_(_row.state == "pending", _row.requeued.is_(None))
_newer = recording.alias("newer")
# What was queued again has been replaced meanwhile: the newer version is scored in its place.
_IS_NEWEST = ~exists().where(
    _newer.c.inbox_id == _row.inbox_id,
    _newer.c.path == _row.path,
    _newer.c.digest.is_(None),
    _newer.c.id != _row.id,
)
# A person waits for a retry; a rescore has an answer already.
QUEUE: dict[str, ColumnElement[bool]] = {
    "retry": and_(_row.requeued == "retry", _IS_NEWEST),
    "new": _IS_PENDING,
    "rescore": and_(_row.requeued == "rescore", _IS_NEWEST),
}
IS_WORK = and_(text(f"({is_queued})"), _row.fingerprint != "")
# Not one that was postponed and whose wait is not over.
_IS_DUE = or_(
    _row.retry_after.is_(None),
    _row.retry_after <= bindparam("now"),
    _row.retry_after > bindparam("latest"),
)


def due_at(now: str) -> dict[str, str]:
    return {"now": now, "latest": later(now, MAX_WAIT_SECONDS)}


# Put together once: that takes SQLAlchemy as long as running them, and a file waits for it.
_UNCLAIMED_OF = {
    purpose: select(
        _row.id,
        inbox.c.path,
        _row.path,
        _row.fingerprint,
        _row.size_bytes,
        _row.attempts,
        case((_row.archived_at.is_not(None), _row.archive_path)),
    )
    .join(inbox)
    .where(is_queued_so, IS_WORK, _row.claimed_by.is_(None), _IS_DUE)
    .where(_row.attempts.between(bindparam("fewest"), bindparam("most")))
    .where(_row.id.not_in(bindparam("moving", expanding=True)))
    .order_by(_row.id)
    .limit(bindparam("room"))
    for purpose, is_queued_so in QUEUE.items()
}


def unclaimed(connection: Connection, purpose: str, values: Mapping[str, object]) -> list[Claim]:
    found = connection.execute(_UNCLAIMED_OF[purpose], dict(values)).all()
    folders = {folder: Path(os.fsdecode(folder)) for folder in {row[1] for row in found}}
    return [
        Claim(row_id, folders[folder], path, fingerprint, size, attempts + 1, purpose, place)
        for row_id, folder, path, fingerprint, size, attempts, place in found
    ]


def mark_claimed(connection: Connection, claims: Sequence[Claim], claimant: str, now: str) -> None:
    values = {"claimed_by": claimant, "claimed_at": now, "attempts": _row.attempts + 1}
    for some in chunks([claim.recording_id for claim in claims]):
        connection.execute(update(recording).where(_row.id.in_(some)).values(values))
