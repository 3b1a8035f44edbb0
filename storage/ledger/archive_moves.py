"""The archive in the ledger: where each done recording goes, and what came of its move.

The intent is written in the transaction that answers the recording, and before anything moves
under another name the new name is written too. So a restart knows of every file where to look.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sqlalchemy import Connection, bindparam, func, select, text, update

from storage.database.tables import inbox, is_archiving, recording
from storage.ledger.outcomes import Arrival
from storage.values.text import printable_path

_row = recording.c


@dataclass(frozen=True)
class ArchivePlan:
    """Names the place of every file below `root`, by inbox and path."""

    root: Path
    inboxes: tuple[Path, ...]

    @cached_property
    def folders(self) -> dict[bytes, bytes]:
        """By inbox: its name, below as many of its parents as it takes to tell all apart."""
        depth = 1
        while len({_tail(folder, depth) for folder in self.inboxes}) < len(self.inboxes):
            depth += 1
        return {
            os.fsencode(folder): os.fsencode(self.root.joinpath(*_tail(folder, depth)))
            for folder in self.inboxes
        }

    def place(self, folder: bytes, path: bytes) -> bytes | None:
        """Where a file of an inbox goes; None for an inbox that is none any more."""
        below = self.folders.get(folder)
        return None if below is None else os.path.join(below, path)

    def holds(self, place: bytes) -> bool:
        return place.startswith(os.path.join(os.fsencode(self.root), b""))


def _tail(folder: Path, depth: int) -> tuple[str, ...]:
    return folder.parts[1:][-depth:]


@dataclass(frozen=True)
class Move:
    """A file that is to go from the inbox to `place`, if it still is the version recorded.

    `is_taken`: another recording of the same content lies at that place already.
    """

    recording_id: int
    inbox: Path
    path: bytes
    fingerprint: str
    size_bytes: int
    digest: str
    place: bytes
    is_taken: bool = False

    @property
    def source(self) -> bytes:
        return os.path.join(os.fsencode(self.inbox), self.path)


@dataclass(frozen=True)
class Archived:
    """It lies at its place; `fingerprint` is what `stat` says of it there."""

    move: Move
    fingerprint: str


@dataclass(frozen=True)
class Redirected:
    """Something else lies at its place: it goes to this one. Nothing has moved yet."""

    move: Move
    place: bytes


@dataclass(frozen=True)
class MoveDropped:
    """What lies in the inbox is not what was recorded, or nothing does: nothing is to be moved."""

    move: Move


@dataclass(frozen=True)
class MoveFailed:
    """It stays in the inbox for now; `is_general` where no other file would fare better."""

    move: Move
    reason: str
    is_general: bool = False


Moved = Archived | Redirected | MoveDropped | MoveFailed


def outstanding(connection: Connection, after_id: int, limit: int) -> list[Move]:
    """Moves in the order of their recordings; what is being read is left alone."""
    query = (
        select(
            _row.id,
            inbox.c.path,
            _row.path,
            _row.fingerprint,
            _row.size_bytes,
            _row.digest,
            _row.archive_path,
        )
        .join(inbox)
        .where(text(is_archiving), _row.id > after_id)
        .where(_row.claimed_by.is_(None), _row.fingerprint != "")
        .order_by(_row.id)
        .limit(limit)
    )
    rows = connection.execute(query).all()
    taken = _taken(connection, [row.digest for row in rows], [row.archive_path for row in rows])
    return [
        Move(row[0], Path(os.fsdecode(row[1])), *row[2:], (row.digest, row.archive_path) in taken)
        for row in rows
    ]


def _taken(
    connection: Connection, digests: Sequence[str], places: Sequence[bytes]
) -> set[tuple[str, bytes]]:
    query = (
        select(_row.digest, _row.archive_path)
        .where(_row.digest.in_(set(digests)), _row.archive_path.in_(set(places)))
        .where(_row.archived_at.is_not(None))
    )
    return {(digest, place) for digest, place in connection.execute(query)}


def count_outstanding(connection: Connection) -> int:
    query = select(func.count()).select_from(recording).where(text(is_archiving))
    return connection.scalar(query) or 0


def has_archived(connection: Connection, root: Path) -> bool:
    """Whether any recording is known to lie below the folder."""
    first = os.path.join(os.fsencode(root), b"")
    lies_there = (_row.archive_path > first) & (_row.archive_path < first[:-1] + b"0")  # after "/"
    query = select(_row.id).where(_row.archived_at.is_not(None), lies_there).limit(1)
    return connection.scalar(query) is not None


# A result that comes late changes nothing: the row has moved on, and is looked at again.
_ITS_ROW = (
    update(recording)
    .where(_row.id == bindparam("row_id"), _row.fingerprint == bindparam("old_fingerprint"))
    .where(_row.archive_path == bindparam("old_place"), _row.archived_at.is_(None))
)
_ARRIVED = _ITS_ROW.values(archived_at=bindparam("now"), fingerprint=bindparam("new_fingerprint"))
_GOES_ELSEWHERE = _ITS_ROW.values(
    archive_path=bindparam("place"), archive_path_text=bindparam("place_text")
)
_STAYS = _ITS_ROW.values(archive_path=None, archive_path_text=None)


def write_moves(connection: Connection, results: Sequence[Moved], now: str) -> None:
    """What came of the moves; those that were hindered stay outstanding."""
    arrived, elsewhere, stays = [], [], []
    for result in results:
        move = result.move
        row: dict[str, object] = {
            "row_id": move.recording_id,
            "old_fingerprint": move.fingerprint,
            "old_place": move.place,
        }
        if isinstance(result, Archived):
            arrived.append(row | {"now": now, "new_fingerprint": result.fingerprint})
        elif isinstance(result, Redirected):
            place = result.place
            elsewhere.append(row | {"place": place, "place_text": printable_path(place)})
        elif isinstance(result, MoveDropped):
            stays.append(row)
    for statement, rows in ((_ARRIVED, arrived), (_GOES_ELSEWHERE, elsewhere), (_STAYS, stays)):
        if rows:
            connection.execute(statement, rows)


def plan_known(connection: Connection, plan: ArchivePlan, arrivals: Sequence[Arrival]) -> int:
    """Intents for files whose current row was answered before there was an archive.

    The arrivals are of one inbox, and as many as fit an IN list.
    """
    found = {arrival.path: arrival.fingerprint for arrival in arrivals}
    folder = os.fsencode(arrivals[0].inbox)
    query = (
        select(_row.id, _row.path, _row.fingerprint)
        .join(inbox)
        .where(inbox.c.path == folder, _row.path.in_(found))
        .where(_row.state == "done", _row.archive_path.is_(None))
    )
    planned = [
        {"row_id": row_id, "place": place, "place_text": printable_path(place)}
        for row_id, path, fingerprint in connection.execute(query)
        if found[path] == fingerprint and (place := plan.place(folder, path)) is not None
    ]
    if planned:
        connection.execute(_PLAN, planned)
    return len(planned)


_PLAN = (
    update(recording)
    .where(_row.id == bindparam("row_id"))
    .values(archive_path=bindparam("place"), archive_path_text=bindparam("place_text"))
)
