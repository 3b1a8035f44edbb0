"""The daemon's status, once a second, in the home's status file."""

from __future__ import annotations

import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from storage.errors import LedgerUnavailable
from storage.values.distribution import installed_version
from storage.values.timestamps import utc_now

logger = logging.getLogger(__name__)

WRITE_SECONDS = 1.0
RATE_SECONDS = 30.0
SUMMARY_SECONDS = 10.0  # between two summaries in the log, while something is in flight
COUNT_SHARE = 0.02  # of the time at most goes into counting rows
MAX_COUNT_SECONDS = 10.0  # between two counts, however dear they are
MIN_RATE = 1e-3
STATES = ("pending", "done", "failed", "superseded")


class Progress(NamedTuple):
    """Counted since the start, at a moment of the monotonic clock; and what is in the window.

    `clips_left` are those of the recordings in it that were begun, None where nobody can say how
    many there are; `n_unread` have not been begun.
    """

    at: float
    clips: int
    recordings: int
    in_flight: int = 0
    clips_left: int | None = 0
    n_unread: int = 0


class Rates:
    """Clips a second over the last half minute, and what follows from it."""

    def __init__(self) -> None:
        self._points: deque[Progress] = deque()

    def add(self, point: Progress) -> None:
        self._points.append(point)
        while point.at - self._points[0].at > RATE_SECONDS and len(self._points) > 2:
            self._points.popleft()

    @property
    def clips_per_s(self) -> float:
        if len(self._points) < 2:
            return 0.0
        first, last = self._points[0], self._points[-1]
        return (last.clips - first.clips) / max(last.at - first.at, 1e-9)

    def seconds_left(self, pending: int) -> float | None:
        """For `pending` recordings, those in the window included; None where nobody can say.

        What has not been begun is taken to be as long as what was scored so far.
        """
        last = self._points[-1]
        if not pending or last.clips_left is None or self.clips_per_s < MIN_RATE:
            return None
        clips_each = max(1.0, last.clips / max(1, last.recordings))
        n_waiting = last.n_unread + max(0, pending - last.in_flight)
        return (last.clips_left + n_waiting * clips_each) / self.clips_per_s


@dataclass
class StatusReport:
    """Puts together the status and hands it to `write`, not more than once a second.

    `count` gives the ledger's rows per state, `last_failure` path, reason and time of the newest
    failure, `oldest_pending` when that was seen which has waited longest; they are asked as often
    as their cost allows. `facts` are asked each time.
    """

    write: Callable[[Mapping[str, object]], None]
    count: Callable[[], Mapping[str, int]]
    last_failure: Callable[[], tuple[str, str, str] | None]
    clock: Callable[[], float]
    facts: Callable[[], Mapping[str, object]] = dict
    oldest_pending: Callable[[], str | None] = lambda: None

    def __post_init__(self) -> None:
        self._started_at = self.clock()
        self._version = installed_version()  # looks through the folder of packages, for 2 ms
        self._rates = Rates()
        self._counts: Mapping[str, int] = {}
        keys = ("last_error", "last_error_at", "oldest_pending_at")
        self._recordings: dict[str, str | None] = dict.fromkeys(keys)
        self._write_failed = False
        self._status: Mapping[str, object] = {}
        self._counted: Progress | None = None
        self.due = self._count_due = self._summary_due = self._started_at

    def update(
        self, progress: Progress, changing_facts: Mapping[str, object], recount: bool = False
    ) -> None:
        """`changing_facts` is what changes: the model, what waits, faults."""
        self.due = progress.at + WRITE_SECONDS
        self._rates.add(progress)
        if recount or self._needs_recount(progress):
            self._counted = progress
            self._recount(progress.at)
        self._status = {**self._own_status(progress.at), **changing_facts}
        try:
            self.write(self._status)
            self._write_failed = False
        except OSError as error:  # a full disk must not stop the work that may still be done
            if not self._write_failed:
                logger.error("the status file cannot be written: %s", error.strerror)
            self._write_failed = True
        if progress.in_flight and progress.at >= self._summary_due:
            self._summary_due = progress.at + SUMMARY_SECONDS
            logger.info("%s", self.summary())

    def _needs_recount(self, progress: Progress) -> bool:
        """At rest only what another program changed is new, and can wait."""
        if progress.at < self._count_due:
            return False
        before = self._counted
        if before is None or before[1:] != progress[1:]:
            return True
        return progress.at >= before.at + MAX_COUNT_SECONDS

    def headline(self) -> str:
        """One line for the service manager: what serves, where, and what is left to do."""
        status = self._status
        held = "intake held; " if status.get("paused") else ""
        served, device = status.get("served_checkpoint"), status.get("device")
        return f"{held}{served} on {device}: {self.summary()}"

    def summary(self) -> str:
        """One line for logs."""
        counts, eta_s = self._counts, self._eta_s()
        left = f"; {self._rates.clips_per_s:.1f} clips/s" if self._rates.clips_per_s else ""
        left += f", about {eta_s:.0f} s left" if eta_s else ""
        done, failed = counts.get("done", 0), counts.get("failed", 0)
        return f"{done} done, {failed} failed, {counts.get('queued', 0)} pending{left}"

    def _recount(self, now: float) -> None:
        began = self.clock()
        try:
            self._counts, failure = self.count(), self.last_failure()
            path, reason, at = failure or (None, None, None)
            self._recordings = {
                "last_error": path and f"{path}: {reason}",
                "last_error_at": at,
                "oldest_pending_at": self.oldest_pending(),
            }
        except LedgerUnavailable:
            pass  # the figures of before; the reason stands among the faults
        pause = (self.clock() - began) / COUNT_SHARE
        self._count_due = now + min(pause, MAX_COUNT_SECONDS)

    def _eta_s(self) -> float | None:
        seconds = self._rates.seconds_left(self._counts.get("queued", 0))
        return None if seconds is None else round(seconds, 1)

    def _own_status(self, now: float) -> dict[str, object]:
        return {
            "running": True,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "uptime_s": round(now - self._started_at, 1),
            **{state: self._counts.get(state, 0) for state in STATES},
            "clips_per_s": round(self._rates.clips_per_s, 2),
            "eta_s": self._eta_s(),
            **self._recordings,
            "heartbeat_at": utc_now(),
            "version": self._version,
            **self.facts(),
        }
