"""The archive: done files leave the inbox, after the commit of their result.

What is to be moved stands in the ledger; `daemon/archive/mover.py` moves it in a thread of
its own, so that neither a long copy nor a dead mount stops the classification. What came of it
is written in the next tick, by the thread that owns the ledger.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from pathlib import Path

from daemon.archive.leaving import restore
from daemon.archive.mover import Mover
from daemon.backoff import wait_seconds
from daemon.component import Component
from storage.home.safe_open import Identity
from storage.ledger.archive_moves import Archived, Move, Moved, MoveFailed, MoveWaits, Redirected
from storage.ledger.ledger import Ledger
from storage.values.text import printable_path, visible

logger = logging.getLogger(__name__)

BATCH_MOVES = 64  # with one commit and one flush of their folders
BATCH_BYTES = 256 * 2**20  # a bigger file goes alone, so that others need not wait for its copy
LOOK_SECONDS = 1.0
WAITING_SECONDS = 5.0  # between two looks at files that may still be written to


class Archiver(Component):
    """Outstanding moves in rounds: all of them once, in the order of their recordings.

    A failure of one file does not keep the others waiting; one of the whole archive ends the
    round. Without a mover there is no archive. `wake` is called, from another thread, when a
    batch has been carried out. What this run `holds` stays in the inbox.
    """

    stage = "archive"

    def __init__(
        self,
        mover: Mover | None,
        ledger: Ledger,
        wake: Callable[[], None] = lambda: None,
        thread: Executor | None = None,
        holds: Callable[[Move], bool] = lambda _: False,
    ) -> None:
        self._mover = mover
        self._ledger = ledger
        self._wake = wake
        self._holds = holds
        self._thread = thread or ThreadPoolExecutor(1, thread_name_prefix="archive")
        self._batch: Future[list[Moved]] | None = None
        self._due = self._retry_at = self._rest_until = 0.0
        self._after_id = 0  # how far the round has come
        self._round_is_over = True
        self._reason: str | None = None  # of the first failure of this round
        self._failed_rounds = 0
        self._left = 0  # outstanding at the end of the last round
        self._waiting: list[Move] = []  # in this round
        self._has_held = False
        self._waiting_since: float | None = None
        self._to_restore: deque[tuple[Path, bytes]] = deque()
        self._expects_mark: bool | None = None  # it holds something; the ledger is asked once
        self.moving: Collection[int] = ()

    def step(self, now: float) -> None:
        """Writes what came of the last batch and sends the next one.

        Raises LedgerUnavailable; what came of the batch is kept then.
        """
        if self._batch is None:  # else a name for leaving may be that of a move under way
            self._restore()
        if self._mover is None:
            return
        if self._batch is not None and self._batch.done():
            self._collect(self._batch.result(), now)
        if self._batch is None and now >= max(self._due, self._rest_until):
            self._send(self._mover, now)

    def expect(self, recording_id: int) -> None:
        """This recording, or later ones, may have to be moved now: need not wait for a round."""
        self._after_id = min(self._after_id, recording_id - 1)
        self._due = 0.0

    def restore(self, inbox: Path, paths: Iterable[bytes]) -> None:
        """Files that a kill left under their names for leaving: to be put back."""
        self._to_restore.extend((inbox, path) for path in paths)

    def awaited(self, now: float, seconds: float) -> dict[str, str]:
        """Files that stay in the inbox for so long, since somebody may still write into them."""
        if self._waiting_since is None or now - self._waiting_since < seconds:
            return {}
        names = (visible(printable_path(move.path)) for move in self._waiting)
        return dict.fromkeys(names, "may still be written to")

    def is_settled(self, now: float, patience_seconds: float) -> bool:
        """All that can be moved has been, or patience has ended. Raises LedgerUnavailable."""
        if self._mover is None:
            return True
        if self._batch is not None or not self._round_is_over:
            return False
        has_patience = self._waiting and not self.awaited(now, patience_seconds)
        return not has_patience and self._ledger.moves.count() == self._left

    def root_identity(self) -> Identity | None:
        """Which folder the archive is, as far as is known; never waits."""
        return None if self._mover is None else self._mover.root_identity

    def halt(self) -> None:
        """No move is begun any more, and a copy ends with the block under way. Safe to repeat."""
        if self._mover is not None:
            self._mover.stop.set()

    def stop(self, seconds: float = 0.0) -> None:
        """Halts; what was moved by then is written. Raises LedgerUnavailable."""
        self.halt()
        self._thread.shutdown(wait=False)
        if self._batch is not None:
            wait([self._batch], seconds)
            if self._batch.done():
                self._collect(self._batch.result(), now=0.0)

    def _restore(self) -> None:
        while self._to_restore:
            inbox, path = self._to_restore.popleft()
            try:
                restore(os.fsencode(inbox), path)
            except OSError as error:  # the next scan finds it again
                logger.error("%s: %s", visible(printable_path(path)), error.strerror)

    def _send(self, mover: Mover, now: float) -> None:
        if self._round_is_over and now >= self._retry_at:
            self._round_is_over, self._after_id, self._reason = False, 0, None
            self._waiting, self._has_held = [], False
        batch = _first_of(self._free_moves())
        if not batch:
            self._end_round(now)
            return
        if self._expects_mark is None:
            self._expects_mark = self._ledger.moves.has_archived(mover.plan.root)
        self._after_id = batch[-1].recording_id
        self.moving = frozenset(move.recording_id for move in batch)
        self._batch = self._thread.submit(
            mover.move, batch, self._expects_mark, self._ledger.database.require_in_place
        )
        self._batch.add_done_callback(lambda _: self._wake())

    def _free_moves(self) -> list[Move]:
        """Some outstanding moves behind the last one, but for those that this run holds."""
        while moves := self._ledger.moves.outstanding(self._after_id, BATCH_MOVES):
            if free := [move for move in moves if not self._holds(move)]:
                return free
            self._after_id = moves[-1].recording_id
            self._has_held = True
        return []

    def _collect(self, results: list[Moved], now: float) -> None:
        self._ledger.moves.record(results)
        self._batch, self.moving = None, ()
        for result in results:
            if isinstance(result, MoveFailed):
                self._reason = self._reason or result.reason
            elif isinstance(result, Redirected):
                self._after_id = min(self._after_id, result.move.recording_id - 1)
            elif isinstance(result, MoveWaits):
                self._waiting.append(result.move)
            elif isinstance(result, Archived):
                self._expects_mark = True
        if any(isinstance(result, MoveFailed) and result.is_general for result in results):
            self._round_is_over = False  # also if only what came later was looked at
            self._end_round(now)
            self._rest_until = self._retry_at

    def _end_round(self, now: float) -> None:
        self._left = self._ledger.moves.count()
        self._due = now + LOOK_SECONDS
        if not self._round_is_over:
            self._round_is_over = True
            self._report_round(now)
            if not self._waiting:
                self._waiting_since = None
            elif self._waiting_since is None:
                self._waiting_since = now
            if self._waiting or self._has_held:
                self._retry_at = max(self._retry_at, now + WAITING_SECONDS)

    def _report_round(self, now: float) -> None:
        if self._reason is None:
            if self.fault:
                logger.info("archive: nothing stands in the way any more")
            self.fault, self._failed_rounds, self._retry_at = None, 0, now
            return
        if self.fault is None:
            logger.error("archive: %s; clfd goes on trying", self._reason)
        self._failed_rounds += 1
        self._retry_at = now + wait_seconds(self._failed_rounds)
        self.fault = f"archive: {self._reason}; done files that wait in the inbox: {self._left}"


def _first_of(moves: list[Move]) -> list[Move]:
    """A batch of BATCH_BYTES at most, or a single bigger file."""
    total = 0
    for position, move in enumerate(moves):
        total += move.size_bytes
        if position and total > BATCH_BYTES:
            return moves[:position]
    return moves
