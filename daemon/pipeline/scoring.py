"""Recordings on their way through the window: claimed, then scored and written."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from daemon.archive.archiver import Archiver
from daemon.component import Component, StageTimers
from daemon.errors import DaemonError
from daemon.intake.intake import Intake
from daemon.intake.stability import MAX_OPEN_SECONDS
from daemon.intake.watcher import FileWatcher
from daemon.monitoring.status import Progress
from daemon.pipeline.model_manager import ModelManager
from daemon.pipeline.window import Window
from storage.errors import LedgerUnavailable
from storage.ledger.ledger import Ledger
from storage.ledger.outcomes import Arrival, Changed, Outcome
from storage.values.text import printable_path

logger = logging.getLogger(__name__)

MAX_VAIN_DEATHS = 6  # in a row; one recording that brings them about is given up by then
CLAIM_SECONDS = 1.0  # between two looks for work that another process queued


@dataclass
class Claimer(Component):
    """Takes in files that came to rest, and claims recordings while the window has room.

    Does neither while the intake `is_paused`. `claimant` names this daemon in the ledger.
    """

    stage = "intake"

    claimant: str
    max_attempts: int
    ledger: Ledger
    watcher: FileWatcher
    intake: Intake
    window: Window
    model: ModelManager
    archive: Archiver
    is_paused: Callable[[], bool]
    _claim_due: float = 0.0

    def start(self) -> None:
        self.watcher.start()  # before the first scan, so that nothing falls between

    def step(self, now: float) -> None:
        if self.is_paused():
            return
        self.intake.look(now)
        self._admit(self.intake.settled(now), now)

    @property
    def has_more(self) -> bool:
        """Whether another step at once would get on."""
        return self.intake.has_more and not self.is_paused()

    def next_due(self) -> float:
        """The next moment at which `step` has something to do by itself."""
        if self.is_paused():
            return math.inf
        due = self.intake.next_due()
        return min(due, self._claim_due) if self.window.wants_more else due

    def has_taken_all(self, now: float) -> bool:
        """Every file rests and has its row; a last scan, asked for here, found nothing new.

        But for files that patience has ended for.
        """
        intake = self.intake
        if intake.has_others_waiting(now) or intake.has_more or self._has_work(now):
            return False
        if not intake.last_scan_found_nothing:
            intake.scan_soon(now)
        return intake.last_scan_found_nothing

    def status(self) -> Mapping[str, object]:
        return {
            "ignored": self.intake.ignored,
            "ignored_suffixes": self.intake.ignored_suffixes,
            "waiting": self.intake.waiting,
            "in_flight": len(self.window),
            "restless": self.intake.unsettled,
            "open_for_writing": self.intake.held_open,
            "open_bound_s": MAX_OPEN_SECONDS,
            "watching": self.watcher.watching,
            "witness": self.intake.witnesses,
        }

    def faults(self) -> Sequence[str]:
        return self.intake.faults

    def stop(self, seconds: float = 0.0) -> None:
        self.watcher.stop()

    def awaited(self, now: float, seconds: float) -> dict[str, str]:
        """Files that have kept a run waiting for so long, by what is the matter with them."""
        return self.intake.awaited(now, seconds) | self.archive.awaited(now, seconds)

    def _has_work(self, now: float) -> bool:
        try:
            return self.ledger.has_work() or not self.archive.is_settled(
                now, self.intake.patience_seconds
            )
        except LedgerUnavailable:
            return True  # unknown; the error of the next tick says why

    def _admit(self, settled: Sequence[Arrival], now: float) -> None:
        """A file that came to rest gets its row and is claimed in one commit, if there is room."""
        if settled:
            self._claim_due = now
        elif now >= self._claim_due and not len(self.window) and not self.ledger.has_work():
            self._claim_due = now + CLAIM_SECONDS  # one question, where claiming asks six
        if now >= self._claim_due and self.window.wants_more:
            self._claim(settled, now)
        elif settled:
            self.ledger.admit(settled)
        self.intake.forget(settled)

    def _claim(self, settled: Sequence[Arrival], now: float) -> None:
        room, moving = self.window.free, self.archive.moving
        claims = self.ledger.claim(self.claimant, room, self.max_attempts, moving, settled)
        if not claims and not len(self.window):
            # What never came to an end may be what brought the daemon down: alone, it shows.
            claims = self.ledger.claim_suspect(self.claimant, self.max_attempts, moving)
        self._claim_due = now if len(claims) == room else now + CLAIM_SECONDS
        self.window.take(claims, self.model.served)


@dataclass
class Scorer(Component):
    """What was scored, in one transaction: `done` and its prediction together.

    `is_stopping` says whether a stop was asked for.
    """

    ledger: Ledger
    intake: Intake
    window: Window
    model: ModelManager
    archive: Archiver
    timers: StageTimers
    is_stopping: Callable[[], bool]

    def __post_init__(self) -> None:
        self._unwritten: list[Outcome] = []
        self._released: list[int] = []
        self._n_finished = 0
        self._n_vain_deaths = self._n_batches_before = 0

    def step(self, now: float) -> None:
        if not self.model.is_alive:
            self._begin_again()
        before = self.window.batches.seconds
        with self.timers.measure("window"):
            self._unwritten = self._unwritten or self.window.step(self.is_stopping())
        self.timers.add("score", self.window.batches.seconds - before)
        if any(isinstance(outcome, Changed) for outcome in self._write()):
            self.intake.scan_again(now)  # what it is now has no row yet

    def _write(self) -> list[Outcome]:
        """Raises LedgerUnavailable, and keeps what is not written."""
        if self._unwritten:
            with self.timers.measure("write"):
                self.ledger.record(self._unwritten)
            self.archive.expect(min(outcome.recording_id for outcome in self._unwritten))
        written, self._unwritten = self._unwritten, []
        self._n_finished += len(written)
        return written

    @property
    def has_more(self) -> bool:
        return self.window.batches.can_get_on

    @property
    def is_busy(self) -> bool:
        """Whether recordings are in flight, or outcomes are not written yet."""
        return bool(len(self.window) or self._unwritten)

    def progress(self, now: float) -> Progress:
        window, clips_scored = self.window, self.window.batches.clips_scored
        left = window.clips_left, window.n_unread
        return Progress(now, clips_scored, self._n_finished, len(window), *left)

    def status(self) -> Mapping[str, object]:
        slow = [
            {
                "path": printable_path(claim.path),
                "seconds": round(seconds, 1),
                "size_bytes": claim.size_bytes,
            }
            for claim, seconds in self.window.slow
        ]
        return {"slow": slow, "device_memory_bytes": self.window.batches.device_memory_bytes}

    def faults(self) -> Sequence[str]:
        return self.window.faults

    def figures(self) -> Mapping[str, object]:
        batches = self.window.batches
        return {
            "finished": self._n_finished,
            "batches": batches.n_batches,
            "last_batch_clips": batches.last_batch_clips,
            "clips_scored": batches.clips_scored,
        }

    def forget(self) -> list[int]:
        """All that is in flight or not written yet: others have it. Returns the recordings."""
        lost = [*(one.recording_id for one in self._unwritten), *self._released]
        lost += self.window.abandon()
        self._unwritten, self._released = [], []
        return lost

    def stop(self, seconds: float = 0.0) -> None:
        """Writes what is scored, and gives back what is in flight, so that no attempt counts."""
        self._write()
        self._released += self.window.abandon()  # names each only once
        self.ledger.release(self._released)

    def _begin_again(self) -> None:
        """The process that scores has died: as if the daemon had, and were started again.

        An attempt counts for what was being scored, since that may have been the reason. Raises
        DaemonError where no process lives long enough to score anything.
        """
        suspects = {recording.claim.recording_id for recording in self.window.batches.lost}
        self._write()
        self._released += [number for number in self.window.abandon() if number not in suspects]
        self.ledger.release(self._released)
        self._released = []
        self.ledger.reclaim()
        if self.is_stopping():
            return
        n_batches = self.window.batches.n_batches
        if n_batches > self._n_batches_before:
            self._n_vain_deaths, self._n_batches_before = 0, n_batches
        self._n_vain_deaths += bool(suspects)  # who is killed at rest has not tried
        if self._n_vain_deaths > MAX_VAIN_DEATHS:
            raise DaemonError(
                f"the process that scores died {MAX_VAIN_DEATHS} times without scoring anything;"
                " see the system's log"
            )
        self.model.begin_again()
