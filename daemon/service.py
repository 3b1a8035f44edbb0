"""The life of the daemon on one screen: start, tick until told to stop, drain.

Everything it works with is an argument, the clock included, so that tests run the whole daemon
without sleeping. Only this thread touches the ledger.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence

from classifier.workers.malloc import give_freed_memory_back
from daemon.archive.archiver import Archiver
from daemon.control.pause import Pause
from daemon.control.reload import Reload
from daemon.errors import DaemonError
from daemon.hooks.dispatcher import HookDispatcher
from daemon.intake.intake import Intake
from daemon.intake.watcher import FileWatcher
from daemon.monitoring.sd_notify import extend_timeout, notify
from daemon.monitoring.stage_timers import StageTimers
from daemon.monitoring.status import Progress, StatusReport
from daemon.monitoring.watchdog import ServiceWatchdog
from daemon.pipeline.model_manager import ModelManager
from daemon.pipeline.window import Window
from storage.errors import LedgerUnavailable
from storage.ledger.ledger import Ledger
from storage.ledger.outcomes import Arrival, Changed, Outcome

logger = logging.getLogger(__name__)

CLAIM_SECONDS = 1.0  # between two looks for work that another process queued
REST_SECONDS = 0.5  # at most, so that a new checkpoint is noticed
DRAIN_SECONDS = 30.0  # then a long recording starts anew next time
SUMMARY_SECONDS = 10.0
TEND_SECONDS = 60.0  # between two looks after memory and the ledger's log
TROUBLE_SECONDS = 1.0  # between two tries at a ledger that cannot be used
PATIENCE_SECONDS = 600.0  # asked of the service manager for a first checkpoint, or for one more try


class Service:
    def __init__(
        self,
        claimant: str,
        max_attempts: int,
        ledger: Ledger,
        model: ModelManager,
        doorbell: FileWatcher,
        intake: Intake,
        window: Window,
        archive: Archiver,
        report: StatusReport,
        liveness: ServiceWatchdog,
        reloading: Reload,
        pause: Pause,
        hooks: HookDispatcher,
        wake: threading.Event,
        clock: Callable[[], float],
    ) -> None:
        self._claimant = claimant
        self._max_attempts = max_attempts
        self._ledger = ledger
        self._model = model
        self._doorbell = doorbell
        self._intake = intake
        self._window = window
        self._archive = archive
        self._report = report
        self._liveness = liveness
        self._reloading = reloading
        self._pause = pause
        self._hooks = hooks
        self._wake = wake
        self._clock = clock
        self._measures = StageTimers()
        self._stop_requests = 0
        self._is_stopping = False
        self._claim_due = self._summary_due = self._tend_due = 0.0
        self._log_fault: str | None = None
        self._finished = 0
        self._unwritten: list[Outcome] = []
        self._trouble: str | None = None

    def run(self, once: bool = False) -> None:
        """Until a stop is requested; with `once` until every file in the inbox has a row.

        Files that could not be archived have theirs: they are told, and are no failure.
        """
        try:
            self.start()
            while not self._stop_requests and not (once and self.is_done):
                self._wake.clear()  # before the work: a ring during the work is not lost
                if not self.try_tick():
                    self._wake.wait(self._seconds_to_rest())
            self.drain()
        finally:
            self._archive.halt()  # after an error too: nobody would record what moves from now on
        if once and self._archive.fault:
            logger.warning("%s; the next run tries again", self._archive.fault)
        if once and self._intake.faults:
            raise DaemonError(f"not everything could be read: {'; '.join(self._intake.faults)}")

    def request_stop(self) -> None:
        """From a signal handler. The first request drains, a second one hurries.

        The loop sees it when it next comes round, and does not rest for long. To wake it would take
        the event's lock, which the thread may hold that the signal has interrupted.
        """
        self._stop_requests += 1

    def request_reload(self) -> None:
        """From a signal handler; done between two ticks."""
        self._reloading.request()

    def start(self) -> None:
        extend_timeout(PATIENCE_SECONDS)
        self._patiently(self._model.start)  # first: without a model there is nothing to promise
        self._patiently(self._ledger.reclaim)
        self._doorbell.start()  # before the first scan, so that nothing falls between
        notify("READY=1")

    def try_tick(self) -> bool:
        """A ledger that is locked or full is waited for; what was scored is kept meanwhile."""
        try:
            more = self.tick(self._clock())
            self._trouble = None
        except LedgerUnavailable as error:
            self._note_trouble(error)
            self._tell(self._clock())
            self._wait_out_trouble()
            return True
        return more

    def _patiently(self, work: Callable[[], object], deadline: float = math.inf) -> None:
        """Does what has to be done before anything else can go on, also with a locked ledger.

        Raises LedgerUnavailable at the deadline, or when a stop does not want to wait any more.
        """
        while True:
            try:
                work()
                return
            except LedgerUnavailable as error:
                self._note_trouble(error)
                extend_timeout(PATIENCE_SECONDS)
                hurried = self._stop_requests > (0 if deadline == math.inf else 1)
                if hurried or self._clock() >= deadline:
                    raise
                self._wait_out_trouble()

    def _wait_out_trouble(self) -> None:
        self._wake.clear()  # only what rings from now on may cut the wait short
        self._wake.wait(TROUBLE_SECONDS)

    def _note_trouble(self, error: LedgerUnavailable) -> None:
        if self._trouble is None:
            logger.error("%s; nothing is lost, clfd goes on trying", error)
        self._trouble = str(error)

    def tick(self, now: float) -> bool:
        """One turn of everything. True when there is more to do at once."""
        self._reloading.step(now)
        self._pause.step(now)
        stage = self._measures.stage
        with stage("model"):
            self._model.refresh(now)
        if not self._pause.since:
            with stage("intake"):
                self._intake.look(now)
                self._take(now)
        self._finish_some()
        if now >= self._tend_due:
            self._tend(now)
        with stage("archive"):
            self._archive.step(now)
        if now >= self._report.due:
            with stage("report"):
                self._tell(now)
        return self._window.has_ready_clips or (self._intake.has_more and not self._pause.since)

    def _tend(self, now: float) -> None:
        """What a process does for its health that is to run for months."""
        self._tend_due = now + TEND_SECONDS
        give_freed_memory_back()
        self._log_fault = self._ledger.tend()
        self._model.tend(self._window.clips_scored)

    def drain(self) -> None:
        """Stop taking in, finish what is in flight, write it, close."""
        notify("STOPPING=1")
        self._is_stopping = True
        logger.info("stopping: finishing %d recordings in flight", len(self._window))
        self._doorbell.stop()
        deadline = self._clock() + DRAIN_SECONDS
        while self._is_unfinished and self._stop_requests < 2 and self._clock() < deadline:
            self._wake.clear()
            self._patiently(self._finish_some, deadline)
            if self._is_unfinished and not self._window.has_ready_clips:
                self._wake.wait(REST_SECONDS)
        unfinished = self._window.abandon()
        self._patiently(lambda: self._ledger.release(unfinished), deadline)  # no attempt counts
        self._patiently(lambda: self._archive.stop(max(0.0, deadline - self._clock())), deadline)
        self._model.stop()
        self._tell(self._clock(), recount=True)
        logger.info("stopped: %s", self._report.summary())

    @property
    def is_done(self) -> bool:
        """Every file has come to rest and has its row; a last scan found nothing new."""
        intake = self._intake
        if self._is_unfinished or intake.waiting or intake.has_more or self._has_work():
            return False
        if not intake.last_scan_found_nothing:
            intake.scan_soon(self._clock())
        return intake.last_scan_found_nothing

    def _has_work(self) -> bool:
        try:
            return self._ledger.has_work() or not self._archive.is_settled
        except LedgerUnavailable:
            return True  # nobody knows; the next tick tells why

    @property
    def _is_unfinished(self) -> bool:
        return bool(len(self._window) or self._unwritten)

    def _take(self, now: float) -> None:
        """A file that came to rest gets its row and is claimed in one commit, if there is room."""
        rested = self._intake.rested(now)
        if rested:
            self._claim_due = now
        elif now >= self._claim_due and not len(self._window) and not self._ledger.has_work():
            self._claim_due = now + CLAIM_SECONDS  # one question, where claiming asks six
        if now >= self._claim_due and self._window.wants_more:
            self._claim(rested, now)
        elif rested:
            self._ledger.admit(rested)
        self._intake.forget(rested)

    def _claim(self, rested: Sequence[Arrival], now: float) -> None:
        room, moving = self._window.free, self._archive.moving
        claims = self._ledger.claim(self._claimant, room, self._max_attempts, moving, rested)
        if not claims and not len(self._window):
            # What never came to an end may be what brought the daemon down: alone, it shows.
            claims = self._ledger.claim_suspect(self._claimant, self._max_attempts, moving)
        self._claim_due = now if len(claims) == room else now + CLAIM_SECONDS
        self._liveness.expect(claims)
        self._window.take(claims, self._model.served)

    def _finish_some(self) -> None:
        """One batch, one transaction: `done` and its prediction together."""
        with self._measures.stage("score"):
            self._unwritten = self._unwritten or self._window.step(bool(self._stop_requests))
        self._measures.note_scored(self._window.clips_scored)
        if self._unwritten:
            with self._measures.stage("write"):
                self._ledger.record(self._unwritten)
            self._finished += len(self._unwritten)
            self._archive.expect(min(outcome.recording_id for outcome in self._unwritten))
            if any(isinstance(outcome, Changed) for outcome in self._unwritten):
                self._intake.scan_again(self._clock())  # what it is now has no row yet
            self._unwritten = []

    def _tell(self, now: float, recount: bool = False) -> None:
        window, predictor = self._window, self._model.served.predictor
        progress = Progress(
            now, window.clips_scored, self._finished, len(window), window.clips_left
        )
        self._report.update(
            progress,
            {
                "checkpoint": self._model.wanted,
                "served_checkpoint": self._model.served.name,
                "checkpoint_refused": self._model.refusal,
                "precision": predictor.precision,
                "network_path": predictor.path,
                "canary_error": round(predictor.canary_error, 4),
                "ignored": self._intake.ignored,
                "waiting": self._intake.waiting,
                "in_flight": len(self._window),
                "restless": self._intake.restless,
                "watching": self._doorbell.watching,
                "faults": self._faults(),
                "stopping": self._is_stopping or bool(self._stop_requests),
                "figures": {
                    "finished": self._finished,
                    "checkpoint_swaps": self._model.swaps,
                    "checkpoint_refusals": self._model.refusals,
                    **self._measures.told,
                },
                "hooks": self._hooks.told,
                **self._reloading.told,
                **self._pause.told,
            },
            recount,
        )
        self._liveness.tell(progress, self._trouble is not None, self._report.headline())
        if now >= self._summary_due and len(self._window):
            self._summary_due = now + SUMMARY_SECONDS
            logger.info("%s", self._report.summary())

    def _faults(self) -> list[str]:
        parts = (self._archive, self._liveness, self._reloading)
        others = (self._trouble, self._log_fault, *(part.fault for part in parts))
        return [*self._intake.faults, *filter(None, others), *self._hooks.faults]

    def _seconds_to_rest(self) -> float:
        due = self._report.due
        if not self._pause.since:
            due = min(due, self._intake.next_due())
            due = min(due, self._claim_due) if self._window.wants_more else due
        return min(max(due - self._clock(), 0.01), REST_SECONDS)
