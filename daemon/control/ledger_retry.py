"""Waiting for a ledger that is locked or full. What was scored is kept meanwhile."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from daemon.component import Component
from daemon.control.signals import StopRequests
from daemon.monitoring.sd_notify import extend_timeout
from storage.errors import LedgerUnavailable, SchemaMismatch
from storage.ledger.ledger import Ledger

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0  # between two tries
TRY_SECONDS = 600.0  # asked of the service manager for one more try


def opened_in_time(
    open_it: Callable[[], Ledger], sleep: Callable[[float], None] = time.sleep
) -> Ledger:
    """Waits for a server that is away, and where clfd of another version is at work, for that."""
    told = ""
    while True:
        try:
            return open_it()
        except (LedgerUnavailable, SchemaMismatch) as error:
            if str(error) != told:
                logger.error("%s; clfd waits for it", error)
            told = str(error)
            extend_timeout(TRY_SECONDS)
            sleep(RETRY_SECONDS)


@dataclass(eq=False)
class LedgerRetry(Component):
    stops: StopRequests
    wake: threading.Event
    clock: Callable[[], float]

    @property
    def is_waiting(self) -> bool:
        """From a failure to the next tick that succeeded."""
        return self.fault is not None

    def run(self, work: Callable[[], object], deadline: float = math.inf) -> None:
        """Does what has to be done before anything else can go on.

        Raises LedgerUnavailable at the deadline, or when a stop does not want to wait any more.
        """
        while True:
            try:
                work()
                return
            except LedgerUnavailable as error:
                self.failed(error)
                extend_timeout(TRY_SECONDS)
                is_hurried = self.stops.n > (0 if deadline == math.inf else 1)
                if is_hurried or self.clock() >= deadline:
                    raise
                self.wait()

    def failed(self, error: LedgerUnavailable) -> None:
        if self.fault is None:
            logger.error("%s; nothing is lost, clfd goes on trying", error)
        self.fault = str(error)

    def succeeded(self) -> None:
        """For a whole tick, with all that it asks of the ledger."""
        self.fault = None

    def wait(self) -> None:
        self.wake.clear()  # only what comes from now on may cut the wait short
        self.wake.wait(RETRY_SECONDS)
