"""When has a file come to rest? A pure rule: path, fingerprint, now, and what is known of its end.

A file is at rest when its fingerprint has stayed the same for `settle_seconds` on a monotonic
clock. A change starts the wait anew; nothing is refused for it. Of one that was there before the
first look, the rest before that counts too. A file that its writer has closed, and that ends where
its container promises, need not wait: no writer is expected to add to it. One that somebody has
open for writing goes on waiting, with a bound, since a close can be missed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from heapq import heappop, heappush
from itertools import chain, islice, takewhile
from typing import NamedTuple

from daemon.intake.open_files import Key
from storage.ledger.outcomes import Arrival

MAX_OPEN_SECONDS = 600.0  # at rest; then a file is taken in spite of its writer


class _Wait(NamedTuple):
    fingerprint: str
    since: float  # it has this fingerprint
    asked: float  # when its time to wait last began


class Settling:
    """Arrivals that are watched until they rest."""

    def __init__(self, settle_seconds: float) -> None:
        self.settle_seconds = settle_seconds
        # Insertion order is the order of `asked`: a file that changes moves to the end.
        self._waiting: dict[Key, _Wait] = {}
        self._open: dict[Key, float] = {}  # since when; files held since somebody writes them
        self._complete: dict[Key, str] = {}  # fingerprints with which files need not wait
        # Of files that rested before the first look: since when, and with which fingerprint.
        self._rested: list[tuple[float, Key, str]] = []
        self._changing: dict[Key, float] = {}  # since when; files seen to change while they wait

    def __len__(self) -> int:
        return len(self._waiting)

    def see(
        self,
        arrival: Arrival,
        now: float,
        rest_seconds: Callable[[Arrival], float] = lambda _: 0.0,
    ) -> None:
        """Notes a file as it is now; a fingerprint seen before keeps its place.

        One that is seen for the first time may have rested for `rest_seconds` already.
        """
        key = (arrival.inbox, arrival.path)
        known = self._waiting.get(key)
        if known is None:
            if (seconds := rest_seconds(arrival)) > 0:
                heappush(self._rested, (now - seconds, key, arrival.fingerprint))
        elif known.fingerprint == arrival.fingerprint:
            return
        else:
            self._changing.setdefault(key, known.since)
        self._wait(key, _Wait(arrival.fingerprint, now, now))

    def complete(self, arrival: Arrival) -> None:
        """This file need not wait, unless it has changed since, or waits no more."""
        self._end_wait((arrival.inbox, arrival.path), arrival.fingerprint)

    def _end_wait(self, key: Key, fingerprint: str) -> None:
        if key in self._waiting and self._waiting[key].fingerprint == fingerprint:
            self._complete[key] = fingerprint

    def forget(self, key: Key) -> None:
        self._waiting.pop(key, None)
        self._complete.pop(key, None)
        self._changing.pop(key, None)
        self._open.pop(key, None)

    @property
    def open_files(self) -> Collection[Key]:
        """Files that were held since somebody had them open for writing."""
        return self._open.keys()

    def awaited(self, since: float) -> set[Key]:
        """Files that have been changing, or were held, since that moment or longer."""
        return {
            *self.unsettled(since),
            *(key for key, began in self._open.items() if began <= since),
        }

    def unsettled(self, since: float) -> list[Key]:
        """Files that have been changing since that moment or longer and never came to rest."""
        return [key for key, began in self._changing.items() if began <= since]

    def restart(self, key: Key, now: float) -> None:
        """Makes a file wait its whole time once more."""
        self._complete.pop(key, None)
        self._wait(key, _Wait(self._waiting[key].fingerprint, now, now))

    def holds_open(self, key: Key, now: float) -> bool:
        """Has a file that settled, and is open, wait once more; False where that took too long."""
        self._complete.pop(key, None)
        wait = self._waiting[key]
        if now - wait.since >= MAX_OPEN_SECONDS:
            return False
        self._open.setdefault(key, now)
        self._wait(key, wait._replace(asked=now))
        return True

    def due(self, now: float, max_files: int | None = None) -> list[Key]:
        """Files that were not seen to change for long enough, up to `max_files`: look once more."""
        while self._rested and now - self._rested[0][0] >= self.settle_seconds:
            self._end_wait(*heappop(self._rested)[1:])
        waiting = takewhile(lambda item: self._has_waited(item[1], now), self._waiting.items())
        settled = (key for key, _ in waiting if key not in self._complete)
        return list(islice(chain(self._complete, settled), max_files))

    def has_settled(self, arrival: Arrival, now: float) -> bool:
        """Whether this look confirms that the file rests; if not, its wait goes on or restarts."""
        self.see(arrival, now)
        key = (arrival.inbox, arrival.path)
        if self._complete.get(key) == arrival.fingerprint:
            return True
        self._complete.pop(key, None)
        return self._has_waited(self._waiting[key], now)

    def next_due(self) -> float | None:
        """The moment at which the first file may have settled."""
        if self._complete:
            return -math.inf
        began = [since for since, *_ in self._rested[:1]]
        began += [wait.asked for wait in islice(self._waiting.values(), 1)]
        return min(began) + self.settle_seconds if began else None

    def _wait(self, key: Key, wait: _Wait) -> None:
        self._waiting.pop(key, None)
        self._waiting[key] = wait

    def _has_waited(self, wait: _Wait, now: float) -> bool:
        return now - wait.asked >= self.settle_seconds
