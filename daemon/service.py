"""The life of the daemon on one screen: start, tick until a stop is asked for, drain.

Everything it works with is an argument, the clock included, so that tests run the whole daemon
without sleeping. Only this thread touches the ledger.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from daemon.archive.archiver import Archiver
from daemon.component import StageTimers, merged_status
from daemon.control.fleet_member import FleetMember
from daemon.control.ledger_retry import LedgerRetry
from daemon.control.one_run import OneRun
from daemon.control.pause import Pause
from daemon.control.reload import Reload
from daemon.control.signals import StopRequests
from daemon.control.upkeep import Upkeep
from daemon.hooks.dispatcher import HookDispatcher
from daemon.monitoring.sd_notify import extend_timeout, notify
from daemon.monitoring.status import StatusReport
from daemon.monitoring.watchdog import ServiceWatchdog
from daemon.pipeline.model_manager import ModelManager
from daemon.pipeline.scoring import Claimer, Scorer
from storage.errors import LeaseLost, LedgerUnavailable

logger = logging.getLogger(__name__)

REST_SECONDS = 0.5  # at most, so that a new checkpoint is noticed
DRAIN_SECONDS = 30.0  # then a long recording starts anew next time
START_SECONDS = 600.0  # asked of the service manager for a first checkpoint


class Components(NamedTuple):
    """In the order in which a tick steps them."""

    reload: Reload
    pause: Pause
    model: ModelManager
    fleet_member: FleetMember
    claimer: Claimer
    scorer: Scorer
    upkeep: Upkeep
    archive: Archiver
    hooks: HookDispatcher
    watchdog: ServiceWatchdog
    ledger_retry: LedgerRetry
    timers: StageTimers


class Service:
    def __init__(
        self,
        components: Components,
        report: StatusReport,
        stops: StopRequests,
        wake: threading.Event,
        clock: Callable[[], float],
    ) -> None:
        self.components = components
        self._report = report
        self._stops = stops
        self._wake = wake
        self._clock = clock
        self._is_draining = False

    def run(self, once: OneRun | None = None) -> None:
        """Until a stop is requested; with `once` until every file in the inbox has a row."""
        claimer, archive = self.components.claimer, self.components.archive
        if once:
            claimer.intake.patience_seconds = once.patience_seconds
            claimer.intake.may_scan = lambda root: True  # it looks for itself whether all is done
        try:
            self.start()
            while not self._stops.n and not (once and self.is_done):
                if once:
                    once.name_awaited(claimer, self._clock())
                self._wake.clear()  # before the work: what comes during the work is not lost
                if not self.try_tick():
                    self._wake.wait(self.seconds_to_rest())
            self.drain()
        finally:
            archive.halt()  # after an error too: nobody would record later moves
        if once:
            once.require_complete(claimer, archive, self._clock())

    def start(self) -> None:
        retry = self.components.ledger_retry
        extend_timeout(START_SECONDS)
        retry.run(self.components.fleet_member.start)
        retry.run(self.components.model.start)  # first: without it there is nothing to promise
        retry.run(self.components.claimer.start)
        notify("READY=1")

    def try_tick(self) -> bool:
        """A tick, or a pause where the ledger is locked or full; True when there is more to do."""
        retry = self.components.ledger_retry
        try:
            more = self.tick(self._clock())
        except LeaseLost as error:
            retry.run(partial(self.components.fleet_member.begin_again, error))
            return True
        except LedgerUnavailable as error:
            retry.failed(error)
            self._write_status(self._clock())
            retry.wait()
            return True
        retry.succeeded()
        return more

    def tick(self, now: float) -> bool:
        """One turn of everything. True when there is more to do at once."""
        for component in self.components:
            with self.components.timers.measure(component.stage):
                component.step(now)
        if now >= self._report.due:
            with self.components.timers.measure("report"):
                self._write_status(now)
        return self.components.claimer.has_more or self.components.scorer.has_more

    def drain(self) -> None:
        """Stop taking in, finish what is in flight, write it, close.

        Everything is closed, even if the ledger stays unavailable until the deadline. Raises
        LedgerUnavailable in the end then.
        """
        notify("STOPPING=1")
        self._is_draining = True
        claimer, scorer = self.components.claimer, self.components.scorer
        logger.info("stopping: finishing %d recordings in flight", len(scorer.window))
        archive, model = self.components.archive, self.components.model
        deadline = self._clock() + DRAIN_SECONDS
        steps = (claimer.stop, self._finish, scorer.stop, archive.stop, model.stop)
        failures = [self._close(step, deadline) for step in steps]
        if not any(failures):  # else what is claimed would be free with its attempt counted
            failures.append(self._close(self.components.fleet_member.stop, deadline))
        self._write_status(self._clock(), recount=True)
        logger.info("stopped: %s", self._report.summary())
        for failure in filter(None, failures):
            raise failure

    def request_stop(self) -> None:
        """From a signal handler. The first request drains, a second one hurries."""
        self._stops.add()

    def request_reload(self) -> None:
        """From a signal handler; done between two ticks."""
        self.components.reload.request()

    @property
    def is_done(self) -> bool:
        """Every file has its row and is where it belongs, and the inbox holds no other."""
        busy = self.components.scorer.is_busy
        return not busy and self.components.claimer.has_taken_all(self._clock())

    def seconds_to_rest(self) -> float:
        due = min(self._report.due, self.components.claimer.next_due())
        return min(max(due - self._clock(), 0.01), REST_SECONDS)

    def _close(self, stop: Callable[[float], None], deadline: float) -> LedgerUnavailable | None:
        try:
            self.components.ledger_retry.run(
                lambda: stop(max(0.0, deadline - self._clock())), deadline
            )
        except LeaseLost:
            self.components.scorer.forget()  # others have it
        except LedgerUnavailable as error:
            return error
        return None

    def _finish(self, seconds: float) -> None:
        """What is in flight, for so long, or until a second stop request."""
        scorer, deadline = self.components.scorer, self._clock() + seconds
        while scorer.is_busy and self._stops.n < 2 and self._clock() < deadline:
            self._wake.clear()
            scorer.step(self._clock())
            if scorer.is_busy and not scorer.has_more:
                self._wake.wait(REST_SECONDS)

    def _write_status(self, now: float, recount: bool = False) -> None:
        progress = self.components.scorer.progress(now)
        status = merged_status(self.components)
        status["stopping"] = self._is_draining or self._stops.is_requested()
        self._report.update(progress, status, recount)
        is_waiting = self.components.ledger_retry.is_waiting
        self.components.watchdog.report(progress, is_waiting, self._report.headline())
