"""The ledger's writes: what arrived, who works on it, and what came of it.

Every method is one transaction. All of them raise LedgerUnavailable when the database is locked
or full; nothing was written then, and the call may be repeated.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Self

from sqlalchemy import and_, func, select, text, update

from storage.database.bulk import chunks
from storage.database.engine import Database, Role, open_database
from storage.database.tables import inbox, is_queued, recording, tally
from storage.errors import RowRefused
from storage.ledger import queue
from storage.ledger.admission import admit, inbox_id_of, newest_of
from storage.ledger.apply_outcomes import apply_outcomes
from storage.ledger.archive_moves import ArchiveMoves, ArchivePlan
from storage.ledger.checkpoints import put_checkpoint
from storage.ledger.duplicates import AnswerLookup, known_answers
from storage.ledger.outcomes import Arrival, Claim, Failed, Outcome, check_outcome
from storage.ledger.queue import IS_WORK
from storage.values.text import printable
from storage.values.timestamps import utc_now

_row = recording.c
_MOST_ATTEMPTS = 2**31


def open_ledger(url: str, role: Role, archive: ArchivePlan | None = None) -> Ledger:
    """Open the ledger at an SQLAlchemy URL (`settings.database`); see `engine.open_database`."""
    return Ledger(open_database(url, role), archive=archive)


class Ledger:
    """`clock` gives the stamp of this moment; tests pass their own.

    With `archive` the move of a recording's file is planned in the transaction that answers it.
    """

    def __init__(
        self,
        database: Database,
        clock: Callable[[], str] = utc_now,
        archive: ArchivePlan | None = None,
    ) -> None:
        self.database = database
        self._clock = clock
        self._archive = archive
        self.moves = ArchiveMoves(database, clock, archive)

    # --- intake

    def known(self, inbox: Path, paths: Sequence[bytes]) -> dict[bytes, str]:
        """The fingerprint of the newest version of each path; unknown paths are absent.

        So are those whose file left for the archive: what lies there now came after it.
        """
        with self.database.transaction() as connection:
            rows = newest_of(connection, inbox, paths)
        return {row.path: row.fingerprint for row in rows if row.archived_at is None}

    def queued(self, folder: Path, paths: Sequence[bytes]) -> set[bytes]:
        """Those of the paths that wait in the queue already."""
        found: set[bytes] = set()
        with self.database.transaction() as connection:
            for some in chunks(list(paths)):
                query = (
                    select(_row.path)
                    .join(inbox)
                    .where(inbox.c.path == os.fsencode(folder), _row.path.in_(some), IS_WORK)
                )
                found.update(connection.scalars(query))
        return found

    def admit(self, arrivals: Sequence[Arrival]) -> int:
        """Queue files that came to rest; returns how many rows were added or refreshed.

        A version that nobody has read yet gives its row to the newer one; while it is being read
        the arrival is left for a later scan, as the row's outcome belongs to the older bytes.
        """
        with self.database.transaction() as connection:
            return admit(connection, arrivals, self._clock())

    def mount_points(self) -> dict[Path, Path]:
        """Under which mount each inbox was last found, where that was noted."""
        query = select(inbox.c.path, inbox.c.mount_point).where(inbox.c.mount_point.is_not(None))
        with self.database.transaction() as connection:
            rows = connection.execute(query).all()
        return {Path(os.fsdecode(folder)): Path(os.fsdecode(point)) for folder, point in rows}

    def note_mount_point(self, folder: Path, point: Path) -> None:
        with self.database.transaction() as connection:
            noted = update(inbox).where(inbox.c.id == inbox_id_of(connection, folder))
            connection.execute(noted.values(mount_point=os.fsencode(point)))

    def reclaim(self) -> int:
        """At start: free what an earlier daemon left claimed; attempts stay.

        Whoever claimed it: a ledger has one daemon, and host and folder names may change.
        """
        with self.database.transaction() as connection:
            return queue.reclaim(connection)

    def has_work(self) -> bool:
        """Whether anything is queued, claimed or not."""
        with self.database.transaction() as connection:
            return bool(connection.scalar(select(select(_row.id).where(IS_WORK).exists())))

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
        with self.database.transaction() as connection:
            now = self._clock()
            admit(connection, arrivals, now)
            return queue.claim(connection, claimant, limit, (0, max_attempts - 1), moving, now)

    def claim_suspect(
        self, claimant: str, max_attempts: int, moving: Collection[int] = ()
    ) -> list[Claim]:
        """Take one recording with no attempts left, so that it can be tried all alone."""
        attempts = max_attempts, _MOST_ATTEMPTS
        with self.database.transaction() as connection:
            return queue.claim(connection, claimant, 1, attempts, moving, self._clock())

    def release(self, recording_ids: Sequence[int]) -> None:
        """Give claimed work back unread; the attempt does not count."""
        with self.database.transaction() as connection:
            queue.release(connection, recording_ids)

    def known_answers(self, lookups: Sequence[AnswerLookup], link: bool) -> list[int | None]:
        """For each the recording whose answer serves this content, if any; hand it on as `Linked`.

        That is an answered version of the same file under any checkpoint, or, with `link`, any
        recording of this content that the checkpoint has scored.
        """
        with self.database.transaction() as connection:
            return known_answers(connection, lookups, link)

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
        with self.database.transaction() as connection:
            apply_outcomes(connection, outcomes, self._clock(), self._archive)

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
        accepted = {
            "name": name,
            "labels": json.dumps(list(labels), ensure_ascii=False),
            "clip_seconds": clip_seconds,
            "facts": json.dumps(dict(facts), ensure_ascii=False),
            "verdict": "accepted",
            "reason": None,
        }
        with self.database.transaction() as connection:
            return put_checkpoint(connection, digest, accepted, self._clock())

    def refuse_checkpoint(self, name: str, digest: str, reason: str) -> None:
        """Note that a checkpoint was refused, and why. Safe to repeat."""
        refused = {"name": name, "verdict": "refused", "reason": printable(reason)}
        with self.database.transaction() as connection:
            put_checkpoint(connection, digest, refused, self._clock())

    # --- figures

    def counts(self) -> dict[str, int]:
        """Recordings per state, and `queued`: what a daemon still has to do."""
        per_state = select(tally.c.state, func.sum(tally.c.n)).group_by(tally.c.state)
        # What is pending waits in any case; counting those one by one would slow a long queue down.
        is_again = and_(IS_WORK, _row.requeued.is_not(None), _row.state != "pending")
        again = select(func.count()).select_from(recording).where(is_again)
        counts = dict.fromkeys(("pending", "done", "failed", "superseded"), 0)
        with self.database.transaction() as connection:
            counts |= {state: int(number) for state, number in connection.execute(per_state)}
            return counts | {"queued": counts["pending"] + (connection.scalar(again) or 0)}

    def last_failure(self) -> tuple[str, str, str] | None:
        """Path, reason and time of the newest failure."""
        newest = (
            select(_row.path_text, _row.error, _row.answered_at)
            .where(_row.state == "failed")
            .order_by(_row.answered_at.desc(), _row.id.desc())
            .limit(1)
        )
        with self.database.transaction() as connection:
            row = connection.execute(newest).first()
        return None if row is None else (row.path_text, row.error, row.answered_at)

    def oldest_pending(self) -> str | None:
        """When the recording that has been pending longest was first seen."""
        # The queue's index holds new recordings in the order in which they were seen.
        oldest = select(_row.first_seen_at).where(text(f"({is_queued})"), _row.requeued.is_(None))
        with self.database.transaction() as connection:
            return connection.scalar(oldest.order_by(_row.id).limit(1))

    def close(self) -> None:
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
