"""How files that came to rest get their rows: versions, and what is known of them already."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, select, text, union_all, update

from storage.database.bulk import AT_PATHS, at_paths, execute_many
from storage.database.tables import inbox, recording
from storage.fleet.inboxes import ALONE, Inboxes
from storage.ledger.outcomes import Arrival
from storage.ledger.tallies import TallyChanges, TallyKey
from storage.values.text import printable_path
from storage.values.timestamps import moment_in_name

_row = recording.c


_VERSIONS = select(
    _row.id,
    _row.path,
    _row.fingerprint,
    _row.digest,
    _row.claimed_by,
    _row.archived_at,
    _row.state,
    func.coalesce(_row.answered_at, _row.first_seen_at).label("moment"),
    _row.first_seen_at,
    _row.label,
    _row.checkpoint_id,
).where(AT_PATHS)
# Each by an index of its own: a file may have half a million versions that were superseded.
_NEWEST = union_all(
    _VERSIONS.where(text("recording.state IN ('done', 'failed')")),
    _VERSIONS.where(_row.digest.is_(None), _row.state == "pending"),
)


def newest_of(
    connection: Connection, inbox_id: int | None, paths: Sequence[bytes]
) -> list[Row[Any]]:
    """The current and the provisional version of each path, the provisional one last."""
    found: list[Row[Any]] = []
    for asked in at_paths(connection, inbox_id, paths):
        found += connection.execute(_NEWEST, asked)
    return sorted(found, key=lambda row: (row.digest is None, row.id))


def admit(
    connection: Connection, arrivals: Sequence[Arrival], now: str, inboxes: Inboxes = ALONE
) -> int:
    """Queue them; returns how many rows were added or refreshed. See `Ledger.admit`."""
    latest = {(arrival.inbox, arrival.path): arrival for arrival in arrivals}
    admitted = 0
    for folder in {arrival.inbox for arrival in latest.values()}:
        here = [arrival for arrival in latest.values() if arrival.inbox == folder]
        admitted += _admit_to(connection, inboxes, folder, here, now)
    return admitted


def _admit_to(
    connection: Connection, inboxes: Inboxes, folder: Path, arrivals: Sequence[Arrival], now: str
) -> int:
    inbox_id = inboxes.find_or_add(connection, folder)
    newest = {row.path: row for row in newest_of(connection, inbox_id, [a.path for a in arrivals])}
    added, refreshed, changes = [], [], TallyChanges()
    for arrival in arrivals:
        row = newest.get(arrival.path)
        known = row and inboxes.fingerprint(folder, row.fingerprint)
        if row is None or _is_another(row, arrival, known):
            added.append(_new_row(inbox_id, arrival, now))
            changes.count(TallyKey("pending", now, None, None, inbox_id, arrival.path))
        elif known != arrival.fingerprint and row.claimed_by is None:
            new = {"new_fingerprint": arrival.fingerprint, "new_size_bytes": arrival.size_bytes}
            refreshed.append({"row_id": row.id, **new})
            rest = (row.label, row.checkpoint_id, inbox_id, row.path)
            changes.count(TallyKey(row.state, row.moment, *rest), -1)
            changes.count(TallyKey("pending", row.first_seen_at, *rest))
    changes.write(connection)
    execute_many(connection, _ADD, added)
    execute_many(connection, _REFRESH, refreshed)
    return len(added) + len(refreshed)


def _is_another(row: Row[Any], arrival: Arrival, known: str | None) -> bool:
    """Whether a version that was read, with the `known` fingerprint, is not what lies there now."""
    left = row.archived_at is not None
    return row.digest is not None and (left or known != arrival.fingerprint)


def _new_row(inbox_id: int, arrival: Arrival, now: str) -> dict[str, object]:
    path = printable_path(arrival.path)
    return {
        "inbox_id": inbox_id,
        "path": arrival.path,
        "path_text": path,
        "recorded_at": moment_in_name(path),
        "fingerprint": arrival.fingerprint,
        "size_bytes": arrival.size_bytes,
        "state": "pending",
        "first_seen_at": now,
    }


_ADD = insert(recording)
_REFRESH = (
    update(recording)
    .where(_row.id == bindparam("row_id"))
    .values(
        fingerprint=bindparam("new_fingerprint"),
        size_bytes=bindparam("new_size_bytes"),
        state="pending",
        attempts=0,
        retry_after=None,
        requeued=None,
        requeued_at=None,
        error_class=None,
        error=None,
        answered_at=None,
        answer_number=None,
    )
)


def mount_points(connection: Connection, inboxes: Inboxes) -> dict[Path, Path]:
    """Under which mount each inbox of this machine was last found, where that was noted."""
    query = select(inbox.c.path, inbox.c.mount_point).where(inbox.c.mount_point.is_not(None))
    rows = connection.execute(query.where(inbox.c.place == inboxes.machine))
    return {Path(os.fsdecode(folder)): Path(os.fsdecode(point)) for folder, point in rows}


def note_mount_point(connection: Connection, folder: Path, point: Path, inboxes: Inboxes) -> None:
    """Not of a shared inbox, which each machine has elsewhere."""
    if inboxes.is_shared(folder):
        return
    noted = update(inbox).where(inbox.c.id == inboxes.find_or_add(connection, folder))
    connection.execute(noted.values(mount_point=os.fsencode(point)))
