"""Checks in decode workers, since files are untrusted, whether closed files are complete."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import Any

from classifier.audio.containers.promised_end import are_complete
from classifier.workers.pool import DecodePool
from storage.home.safe_open import opener_in
from storage.ledger.outcomes import Arrival

CHECKS_AT_ONCE = 16  # in one task: handing one in costs more than a check
CHECK_SECONDS = 5.0  # for a task; a share may be slow


@dataclass(eq=False)
class EndChecker:
    """Closed files are handed in; `collect` gives those that are complete.

    There is no other answer, and none where a worker died or was too slow: a file without an
    answer settles as any other.
    """

    pool: DecodePool[Any]
    _complete: SimpleQueue[Arrival] = field(default_factory=SimpleQueue)

    def submit(self, arrivals: Sequence[Arrival]) -> None:
        for begin in range(0, len(arrivals), CHECKS_AT_ONCE):
            some = arrivals[begin : begin + CHECKS_AT_ONCE]
            files = [(opener_in(a.inbox), a.path, a.fingerprint) for a in some]
            self.pool.call(partial(self._note, some), CHECK_SECONDS, are_complete, files)

    def collect(self) -> list[Arrival]:
        """Those that were found to be complete since the last call; never waits."""
        return [self._complete.get() for _ in range(self._complete.qsize())]

    def _note(self, arrivals: Sequence[Arrival], future: Future[list[bool]]) -> None:
        if future.cancelled() or future.exception() is not None:
            return
        for arrival, is_complete in zip(arrivals, future.result(), strict=True):
            if is_complete:
                self._complete.put(arrival)
