"""The lease of a daemon: what it claims is its own until the lease is over or given back.

Each start of a daemon takes a lease, whose id is the fencing token. On a server several daemons
work in one ledger: each beats, and whoever finds a lease that is over frees what it held. A daemon
that was frozen or cut off meanwhile learns it in its next transaction, which is rolled back.
The server's clock alone counts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, String, and_, cast, insert, or_, select, update
from sqlalchemy import text as sql

from storage.database.database import Database
from storage.database.functions import server_seconds
from storage.database.tables import inbox, is_queued, lease, recording
from storage.errors import LeaseLost
from storage.values.timestamps import utc_now

BEATS = 3  # in the time of a lease
# A lease that runs for longer was given by a clock that has been set back since.
_MOST_LEASES_AHEAD = 2
_row = recording.c


class Holder(NamedTuple):
    """A daemon: with `machine` and `home` it is the same one after it was started again."""

    machine: str
    host: str
    home: str
    pid: int
    version: str


def is_live() -> ColumnElement[bool]:
    return and_(lease.c.lost_at.is_(None), lease.c.ended_at.is_(None))


def leases_of(machine: str, home: str) -> ColumnElement[bool]:
    return and_(lease.c.machine == machine, lease.c.home == home)


class Lease:
    """`seconds` is how long it lasts without a beat; None: for ever, as of a ledger's only daemon.

    `clock` is monotonic, and goes on while the process is stopped.
    """

    def __init__(
        self,
        database: Database,
        seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self.seconds = seconds
        self._clock = clock
        self._beaten_at = self._reaps_from = 0.0
        self.id: int | None = None

    @property
    def claimant(self) -> str | None:
        """As `recording.claimed_by` has it."""
        return None if self.id is None else str(self.id)

    def take(self, holder: Holder, is_start: bool = True) -> int:
        """A new lease; returns how many recordings became free. Raises LedgerUnavailable.

        At the start of a daemon, which holds the lock of its home, its leases of before are over,
        as are all of a ledger that has one daemon.
        """
        began, now = self._clock(), utc_now()
        with self._database.transaction() as connection:
            earlier = leases_of(holder.machine, holder.home) if self.seconds else sql("1 = 1")
            if is_start:
                over = update(lease).where(is_live(), earlier).values(lost_at=now)
                connection.execute(over)
            added = insert(lease).values(
                **holder._asdict(),
                started_at=now,
                seconds=self.seconds,
                lease_until=self._until(),
            )
            taken = int(connection.execute(added.returning(lease.c.id)).scalar_one())
            freed = reclaim(connection)
        self.id, self._beaten_at = taken, began
        self._reaps_from = began + (self.seconds or 0.0) / BEATS
        return freed

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One that is rolled back with LeaseLost unless the lease is held; beats when that is due.

        Whoever ends the lease meanwhile waits for the commit, by the lock of its row.
        """
        began = self._clock()
        is_beat = self.is_beat_due(began)
        with self._database.transaction() as connection:
            self._require(connection, is_beat)
            yield connection
        if is_beat:
            self._note_beat(began)

    def is_beat_due(self, now: float) -> bool:
        return bool(self.id and self.seconds and now >= self._beaten_at + self.seconds / BEATS)

    def is_surely_held(self) -> bool:
        """By the clock of this machine, without a question to the ledger."""
        return not self.seconds or self._clock() < self._beaten_at + self.seconds

    def beat(self, status: Mapping[str, object], checkpoint_digest: str | None) -> None:
        """Says what the daemon does, for others to see. Raises LeaseLost, LedgerUnavailable."""
        began = self._clock()
        known = {"status": json.dumps(status), "checkpoint_digest": checkpoint_digest}
        with self._database.transaction() as connection:
            self._require(connection, is_beat=True)
            connection.execute(update(lease).where(lease.c.id == self.id).values(known))
        self._note_beat(began)

    def reap(self) -> int:
        """End the leases of daemons that were silent for too long; returns how many.

        After a server that was away all are: who comes back first leaves them time for a beat.
        """
        if self._clock() < self._reaps_from or not self.is_surely_held():
            return 0
        ahead = lease.c.lease_until - server_seconds()
        is_over = or_(ahead < 0, ahead > _MOST_LEASES_AHEAD * lease.c.seconds)
        others = select(lease.c.id).where(is_live(), lease.c.seconds.is_not(None), is_over)
        others = others.where(lease.c.id != (self.id or 0)).order_by(lease.c.id)
        with self._database.transaction() as connection:
            self._require(connection, is_beat=False)
            lost = connection.scalars(others.with_for_update(skip_locked=True)).all()
            if lost:
                ended = update(lease).where(lease.c.id.in_(lost))
                connection.execute(ended.values(lost_at=utc_now()))
                reclaim(connection)
        return len(lost)

    def end(self) -> None:
        """Give it back, with all that it holds; attempts stay. Safe to repeat."""
        if self.id is None:
            return
        with self._database.transaction() as connection:
            ended = update(lease).where(lease.c.id == self.id, is_live())
            connection.execute(ended.values(ended_at=utc_now()))
            reclaim(connection)
            own = update(inbox).where(inbox.c.scanned_by == self.id)
            connection.execute(own.values(scanned_by=None))
        self.id = None

    def _require(self, connection: Connection, is_beat: bool) -> None:
        if self.id is None or self.seconds is None:  # nobody else ends it
            return
        own = and_(lease.c.id == self.id, is_live())
        if is_beat:
            renewed = update(lease).where(own).values(lease_until=self._until())
            is_held = connection.execute(renewed).rowcount == 1
        else:
            query = select(lease.c.id).where(own).with_for_update(read=True)
            is_held = connection.scalar(query) is not None
        if not is_held:
            raise LeaseLost(
                f"this daemon was silent for more than {self.seconds or 0:.0f} s, so others took"
                " over what it had claimed"
            )

    def _note_beat(self, began: float) -> None:
        if not self.is_surely_held():
            self._reaps_from = began + (self.seconds or 0.0)
        self._beaten_at = began

    def _until(self) -> ColumnElement[float] | None:
        return None if self.seconds is None else server_seconds() + self.seconds


def reclaim(connection: Connection, own: int | None = None) -> int:
    """Free what no live lease holds, and what the `own` one does; attempts stay."""
    held = select(cast(lease.c.id, String)).where(is_live())
    if own is not None:
        held = held.where(lease.c.id != own)
    claimed = and_(sql(f"({is_queued})"), _row.claimed_by.is_not(None))  # none but queued are
    freed = update(recording).where(claimed, _row.claimed_by.not_in(held))
    return connection.execute(freed.values(claimed_by=None, claimed_at=None)).rowcount
