"""The ledger's writes: what arrived, who works on it, and what came of it.

Every method is one transaction. All of them raise LedgerUnavailable when the database is locked
or full; nothing was written then, and the call may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Self

from storage.database.database import Database, Role
from storage.database.engine import open_database
from storage.errors import RowRefused
from storage.fleet.inboxes import ALONE, Inboxes
from storage.fleet.lease import Holder, Lease, reclaim
from storage.ledger import queue, tallies
from storage.ledger.admission import admit, mount_points, newest_of, note_mount_point
from storage.ledger.apply_outcomes import apply_outcomes
from storage.ledger.archive_moves import ArchiveMoves, ArchivePlan
from storage.ledger.checkpoints import accepted_checkpoint, put_checkpoint, refused_checkpoint
from storage.ledger.duplicates import AnswerLookup, known_answers
from storage.ledger.outcomes import Arrival, Claim, Failed, Outcome, check_outcome
from storage.values.timestamps import utc_now

_MOST_ATTEMPTS = 2**31


def open_ledger(
    url: str,
    role: Role,
    archive: ArchivePlan | None = None,
    inboxes: Inboxes = ALONE,
    lease_seconds: float | None = None,
) -> Ledger:
    """Open the ledger at an SQLAlchemy URL (`settings.database`); see `engine.open_database`."""
    return Ledger(open_database(url, role), utc_now, archive, inboxes, lease_seconds)


class Ledger:
    """`clock` gives the stamp of this moment; tests pass their own.

    With `archive` the move of a recording's file is planned in the transaction that answers it.
    While `lease` is taken each write is rolled back with LeaseLost once it is over.
    """

    def __init__(
        self,
        database: Database,
        clock: Callable[[], str] = utc_now,
        archive: ArchivePlan | None = None,
        inboxes: Inboxes = ALONE,
        lease_seconds: float | None = None,
    ) -> None:
        self.database = database
        self._clock = clock
        self._archive = archive
        self.inboxes = inboxes
        self.lease = Lease(database, lease_seconds)
        self.moves = ArchiveMoves(self.lease, inboxes, clock, archive)
        self._unsure_at: str | None = None  # a claim of which nobody knows whether it was committed

    # --- intake

    def known(self, inbox: Path, paths: Sequence[bytes]) -> dict[bytes, str]:
        """The fingerprint of the newest version of each path; unknown paths are absent.

        So are those whose file left for the archive: what lies there now came after it.
        """
        with self.database.transaction() as connection:
            rows = newest_of(connection, self.inboxes.find(connection, inbox), paths)
        found = {row.path: row.fingerprint for row in rows if row.archived_at is None}
        return {path: self.inboxes.fingerprint(inbox, known) for path, known in found.items()}

    def queued(self, folder: Path, paths: Sequence[bytes]) -> set[bytes]:
        """Those of the paths that wait in the queue already."""
        with self.database.transaction() as connection:
            return queue.queued(connection, self.inboxes.find(connection, folder), paths)

    def admit(self, arrivals: Sequence[Arrival]) -> int:
        """Queue files that came to rest; returns how many rows were added or refreshed.

        A version that nobody has read yet gives its row to the newer one; while it is being read
        the arrival is left for a later scan, as the row's outcome belongs to the older bytes.
        """
        with self.lease.transaction() as connection:
            return admit(connection, arrivals, self._clock(), self.inboxes)

    def mount_points(self) -> dict[Path, Path]:
        """Under which mount each inbox was last found, where that was noted."""
        with self.database.transaction() as connection:
            return mount_points(connection, self.inboxes)

    def note_mount_point(self, folder: Path, point: Path) -> None:
        with self.database.transaction() as connection:
            note_mount_point(connection, folder, point, self.inboxes)

    def join(self, holder: Holder, folders: Sequence[Path]) -> None:
        """A daemon starts: it gets its lease, and what nobody who lives has claimed is free."""
        self.lease.take(holder)
        with self.lease.transaction() as connection:
            self.inboxes.adopt(connection, folders)

    def may_scan(self, folder: Path) -> bool:
        """Whether this daemon lists an inbox: of one that several see, one does at a time."""
        if (
            self.lease.seconds is None
            or self.lease.id is None
            or not self.inboxes.is_shared(folder)
        ):
            return True
        with self.lease.transaction() as connection:
            return self.inboxes.take_scan(connection, folder, self.lease.id)

    def reclaim(self) -> int:
        """Free what this daemon, or one that does not live any more, has claimed; attempts stay."""
        with self.lease.transaction() as connection:
            return reclaim(connection, self.lease.id)

    def has_work(self) -> bool:
        """Whether anything is queued that this machine can read, claimed or not."""
        with self.database.transaction() as connection:
            return queue.has_work(connection, self.inboxes)

    def claim(
        self,
        claimant: str,
        limit: int,
        max_attempts: int,
        moving: Collection[int] = (),
        arrivals: Sequence[Arrival] = (),
    ) -> list[Claim]:
        """Take up to `limit` recordings: retries, then new ones, then rescores, oldest first.

        `arrivals` are admitted before, in the same transaction: a commit costs some milliseconds.

        Those that are `moving` to the archive right now wait. Those that were tried `max_attempts`
        times without a result are left for `claim_suspect`. The attempt is counted and committed
        before anybody reads the file, so that a file which kills the daemon runs out of attempts.
        """
        return self._claim(claimant, limit, (0, max_attempts - 1), moving, arrivals)

    def claim_suspect(
        self, claimant: str, max_attempts: int, moving: Collection[int] = ()
    ) -> list[Claim]:
        """Take one recording with no attempts left, so that it can be tried all alone."""
        return self._claim(claimant, 1, (max_attempts, _MOST_ATTEMPTS), moving)

    def _claim(
        self,
        claimant: str,
        limit: int,
        attempts: tuple[int, int],
        moving: Collection[int],
        arrivals: Sequence[Arrival] = (),
    ) -> list[Claim]:
        claimant, now = self.lease.claimant or claimant, self._clock()
        with self.lease.transaction() as connection:
            if self._unsure_at is not None:
                queue.release_of(connection, claimant, self._unsure_at)
            self._unsure_at = now
            admit(connection, arrivals, now, self.inboxes)
            claims = queue.claim(connection, claimant, limit, attempts, moving, now, self.inboxes)
        self._unsure_at = None
        return claims

    def release(self, recording_ids: Sequence[int]) -> None:
        """Give claimed work back unread; the attempt does not count."""
        with self.lease.transaction() as connection:
            queue.release(connection, recording_ids, self.lease.claimant)

    def give_attempts_back(self, recording_ids: Sequence[int]) -> None:
        """Of recordings that were lost with a lease, and not for what is in them."""
        with self.database.transaction() as connection:
            queue.give_attempts_back(connection, recording_ids)

    def known_answers(
        self, lookups: Sequence[AnswerLookup], link: bool, scoring: str | None = None
    ) -> list[int | None]:
        """For each the recording whose answer serves this content, if any; hand it on as `Linked`.

        That is an answered version of the same file under any checkpoint, or, with `link`, any
        recording of this content that the checkpoint has scored; with `scoring` only under these
        settings.
        """
        with self.database.transaction() as connection:
            return known_answers(connection, lookups, link, scoring)

    def record(self, outcomes: Sequence[Outcome]) -> None:
        """Write what came of claimed work, in one transaction.

        A value that cannot be stored costs only its own recording, which fails as `internal`.
        """
        valid = [check_outcome(outcome) for outcome in outcomes]
        try:
            self._record(valid)
        except RowRefused:
            for outcome in valid:
                try:
                    self._record([outcome])
                except RowRefused as error:
                    self._record([Failed(outcome.recording_id, "internal", str(error))])

    def _record(self, outcomes: Sequence[Outcome]) -> None:
        known = self._archive, self.inboxes, self.lease.id
        with self.lease.transaction() as connection:
            apply_outcomes(connection, outcomes, self._clock(), *known)

    def requeue_failed(self, patterns: Sequence[bytes] | None = None) -> int:
        """Queue failed recordings again with all their attempts; returns how many.

        A pattern is a path or a glob, relative to its inbox or absolute; a folder means all in it.
        None queues every failed recording.
        """
        with self.database.transaction() as connection:
            return queue.requeue_failed(connection, patterns, self._clock())

    # --- checkpoints

    def register_checkpoint(
        self,
        digest: str,
        name: str,
        labels: Sequence[str],
        clip_seconds: float,
        facts: Mapping[str, object],
    ) -> int:
        """Note that a checkpoint was accepted; returns its id. Safe to repeat."""
        accepted = accepted_checkpoint(name, labels, clip_seconds, facts)
        with self.database.transaction() as connection:
            return put_checkpoint(connection, digest, accepted, self._clock())

    def refuse_checkpoint(self, name: str, digest: str, reason: str) -> None:
        """Note that a checkpoint was refused, and why. Safe to repeat."""
        with self.database.transaction() as connection:
            put_checkpoint(connection, digest, refused_checkpoint(name, reason), self._clock())

    # --- figures

    def counts(self) -> dict[str, int]:
        """Recordings per state, and `queued`: what a daemon still has to do."""
        with self.database.transaction() as connection:
            return tallies.state_counts(connection)

    def last_failure(self) -> tuple[str, str, str] | None:
        """Path, reason and time of the newest failure."""
        with self.database.transaction() as connection:
            return queue.last_failure(connection, self._clock())

    def oldest_pending(self) -> str | None:
        """When the recording that has been pending longest was first seen."""
        with self.database.transaction() as connection:
            return queue.oldest_pending(connection)

    def close(self) -> None:
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
