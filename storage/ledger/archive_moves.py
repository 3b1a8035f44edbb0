"""The archive in the ledger: where each done recording goes, and what came of its move.

The intent is written in the transaction that answers the recording, and before anything moves
under another name the new name is written too. So a restart knows of every file where to look.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, func, or_, select, text, update

from storage.database.bulk import AT_PATHS, at_paths, execute_many
from storage.database.tables import inbox, is_archiving, lease, recording
from storage.fleet.inboxes import Inboxes
from storage.fleet.lease import Lease, is_live
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
class MoveWaits:
    """It stays in the inbox until it is sure that nobody writes into it any more."""

    move: Move


@dataclass(frozen=True)
class MoveFailed:
    """It stays in the inbox for now; `is_general` where no other file would fare better."""

    move: Move
    reason: str
    is_general: bool = False


Moved = Archived | Redirected | MoveDropped | MoveWaits | MoveFailed


_OUTSTANDING = (
    select(
        _row.id,
        inbox.c.path.label("folder"),
        _row.path,
        _row.fingerprint,
        _row.size_bytes,
        _row.digest,
        inbox.c.place,
        _row.archive_path,
    )
    .join(inbox)
    .where(text(is_archiving), _row.claimed_by.is_(None), _row.fingerprint != "")
    .order_by(_row.id)
)
_PLACE: dict[str, Any] = {
    "archive_path": bindparam("place"),
    "archive_path_text": bindparam("place_text"),
}
_PLAN = update(recording).where(_row.id == bindparam("row_id")).values(_PLACE)
# A result that comes late changes nothing: the row has moved on, and is looked at again.
_ITS_ROW = (
    update(recording)
    .where(_row.id == bindparam("row_id"), _row.fingerprint == bindparam("old_fingerprint"))
    .where(_row.archive_path == bindparam("old_place"), _row.archived_at.is_(None))
)
_ARRIVED = _ITS_ROW.values(archived_at=bindparam("now"), fingerprint=bindparam("new_fingerprint"))
_GOES_ELSEWHERE = _ITS_ROW.values(_PLACE)
_STAYS = _ITS_ROW.values(archive_path=None, archive_path_text=None)


class ArchiveMoves:
    """The moves that the ledger knows of; every method is one transaction, as in `Ledger`."""

    def __init__(
        self, lease: Lease, inboxes: Inboxes, clock: Callable[[], str], plan: ArchivePlan | None
    ) -> None:
        self._lease = lease
        self._inboxes = inboxes
        self._clock = clock
        self._plan = plan

    def plan_known(self, arrivals: Sequence[Arrival]) -> int:
        """Have files moved that lie in an inbox as they were answered; returns how many are new.

        For what was answered before there was an archive. The arrivals are of one inbox.
        """
        plan, planned = self._plan, list[dict[str, object]]()
        if plan is None or not arrivals:
            return 0
        found = {arrival.path: arrival.fingerprint for arrival in arrivals}
        root = arrivals[0].inbox
        folder, query = os.fsencode(root), select(_row.id, _row.path, _row.fingerprint)
        with self._lease.transaction() as connection:
            inbox_id = self._inboxes.find(connection, root)
            query = query.where(AT_PATHS, _row.state == "done", _row.archive_path.is_(None))
            for asked in at_paths(connection, inbox_id, list(found)):
                for row_id, path, fingerprint in connection.execute(query, asked):
                    place = plan.place(folder, path)
                    known = self._inboxes.fingerprint(root, fingerprint)
                    if place is not None and found[path] == known:
                        planned.append({"row_id": row_id, **_place_values(place)})
            execute_many(connection, _PLAN, planned)
        return len(planned)

    def outstanding(self, after_id: int, limit: int) -> list[Move]:
        """Moves of recordings with a greater id, in their order; not of what is being read."""
        query = _OUTSTANDING.where(_row.id > after_id, *self._own()).limit(limit)
        with self._lease.transaction() as connection:
            rows = connection.execute(query).all()
            there = (
                select(_row.digest, _row.archive_path)
                .where(_row.digest.in_({row.digest for row in rows}))
                .where(_row.archive_path.in_({row.archive_path for row in rows}))
                .where(_row.archived_at.is_not(None))
            )
            taken = {(digest, place) for digest, place in connection.execute(there)}
        return [
            Move(
                row.id,
                self._inboxes.local(row.place, row.folder),
                row.path,
                row.fingerprint,
                row.size_bytes,
                row.digest,
                row.archive_path,
                (row.digest, row.archive_path) in taken,
            )
            for row in rows
        ]

    def count(self) -> int:
        query = select(func.count()).select_from(recording).join(inbox)
        with self._lease.transaction() as connection:
            return connection.scalar(query.where(text(is_archiving), *self._own())) or 0

    def _own(self) -> list[ColumnElement[bool]]:
        """In a fleet who answered moves, and for one that is gone whoever scans the inbox."""
        if self._lease.seconds is None:
            return []
        me, by = self._lease.id, _row.answered_by
        lives = select(lease.c.id).where(lease.c.id == by, is_live()).exists()
        return [
            inbox.c.place.in_(self._inboxes.places),
            or_(by == me, and_(inbox.c.scanned_by == me, ~lives)),
        ]

    def has_archived(self, root: Path) -> bool:
        """Whether a file was ever moved to somewhere below `root`."""
        first = os.path.join(os.fsencode(root), b"")
        after = first[:-1] + b"0"  # which comes after "/"
        lies_there = (_row.archive_path > first) & (_row.archive_path < after)
        query = select(_row.id).where(_row.archived_at.is_not(None), lies_there).limit(1)
        with self._lease.transaction() as connection:
            return connection.scalar(query) is not None

    def record(self, results: Sequence[Moved]) -> None:
        """Write what came of moves; those that wait or were hindered stay outstanding."""
        arrived, elsewhere, stays = [], [], []
        now = self._clock()
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
                elsewhere.append(row | _place_values(result.place))
            elif isinstance(result, MoveDropped):
                stays.append(row)
        with self._lease.transaction() as connection:
            execute_many(connection, _ARRIVED, arrived)
            execute_many(connection, _GOES_ELSEWHERE, elsewhere)
            execute_many(connection, _STAYS, stays)


def _place_values(place: bytes) -> dict[str, object]:
    return {"place": place, "place_text": printable_path(place)}
