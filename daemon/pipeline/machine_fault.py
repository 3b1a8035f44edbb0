"""When this machine cannot decode any file: claiming waits, and no recording pays for it."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from daemon.backoff import wait_seconds
from storage.ledger.outcomes import Claim, Postponed

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class MachineFault:
    """`fault` is what the machine lacks, until a file has been decoded again.

    A recording that meets such a fault over and over waits longer itself, while others go on.
    """

    clock: Callable[[], float] = time.monotonic
    fault: str | None = None
    _n_failures: int = 0  # in a row, those within one wait counted once
    _due: float = -math.inf
    _n_postponed: Counter[int] = field(default_factory=Counter)  # by recording id

    @property
    def is_waiting(self) -> bool:
        return self.clock() < self._due

    def postpone(self, claim: Claim, lack: str) -> Postponed:
        if not self.is_waiting:
            self._n_failures += 1
            self._due = self.clock() + wait_seconds(self._n_failures)
        if self.fault is None:
            logger.error("no files can be decoded: %s; clfd tries again", lack)
        self.fault = f"this machine cannot decode: {lack}"
        self._n_postponed[claim.recording_id] += 1
        own_wait = wait_seconds(self._n_postponed[claim.recording_id])
        wait = max(own_wait, self._due - self.clock())
        return Postponed(claim.recording_id, "machine", lack, wait, counts=False)

    def has_passed(self, recording_id: int) -> None:
        """A recording was decoded, or failed by itself."""
        self._n_postponed.pop(recording_id, None)
        self.fault, self._n_failures = None, 0
