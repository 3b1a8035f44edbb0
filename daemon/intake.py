"""Taking files in: doorbell and scans lead to looks, looks to rest, rest to a ledger row.

The folder against the ledger is the truth. A scan runs at start, after every burst of events, on
a timer, and when the doorbell has reason to distrust itself.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path

from daemon.doorbell import Doorbell
from daemon.inbox import Inbox, Scan
from daemon.mounts import MountMemory
from daemon.settling import Key, Settling
from storage.errors import LedgerUnavailable
from storage.ledger import Ledger
from storage.outcomes import Arrival, printable_path
from storage.rendering import visible
from storage.settings import Intake as IntakeSettings

logger = logging.getLogger(__name__)

SCAN_STEP = 500  # arrivals compared with the ledger in one look, so that a tick stays short
MAX_WAITING = 50_000  # a scan pauses here until the first files have come to rest
GATHER_SECONDS = 1.0  # from an event to the scan that makes sure; one scan serves a burst
SCAN_SHARE = 0.1  # of the time at most goes into scans that bursts ask for
SUPERVISE_SECONDS = 1.0
RESTLESS_SECONDS = 600.0  # a file that has been changing for so long is worth a word


class Intake:
    """`is_busy` tells whether a path is being decoded right now: its row must be left alone."""

    def __init__(
        self,
        inboxes: Sequence[Inbox],
        settings: IntakeSettings,
        ledger: Ledger,
        mounts: MountMemory,
        doorbell: Doorbell,
        is_busy: Callable[[Key], bool],
    ) -> None:
        self._inboxes = {inbox.root: inbox for inbox in inboxes}
        self._scan_seconds = settings.scan_seconds
        self._settling = Settling(settings.settle_seconds)
        self._ledger = ledger
        self._mounts = mounts
        self._doorbell = doorbell
        self._is_busy = is_busy
        self._scans: list[Scan] = []
        self._scan_due = 0.0  # at once
        self._scan_began = self._no_scan_before = 0.0
        self._scan_news = 0
        self._supervise_due = 0.0
        self._last: dict[Path, Scan] = {}
        self._restless: frozenset[Key] = frozenset()
        self.last_scan_found_nothing = False

    @property
    def waiting(self) -> int:
        """Files that have not come to rest."""
        return len(self._settling)

    @property
    def ignored(self) -> int:
        """Files that the last scans left out for their names."""
        return sum(scan.ignored + scan.partial for scan in self._last.values())

    @property
    def faults(self) -> list[str]:
        """Inboxes and folders that could not be listed."""
        roots = [scan.fault for scan in self._last.values() if scan.fault]
        folders = [
            f"folder {scan.inbox.root / name} cannot be listed"
            for scan in self._last.values()
            for name in scan.unreadable
        ]
        return roots + folders

    @property
    def restless(self) -> list[str]:
        """Files that change again and again, and are not taken for that."""
        return sorted(visible(printable_path(path)) for _, path in self._restless)

    @property
    def is_scanning(self) -> bool:
        return bool(self._scans)

    @property
    def has_more(self) -> bool:
        """Whether another look at once would get on with a scan; a full waiting room pauses it."""
        return self.is_scanning and len(self._settling) < MAX_WAITING

    def next_due(self) -> float:
        """The next moment at which `look` has something to do by itself."""
        settled = self._settling.next_due()
        return self._scan_due if settled is None else min(settled, self._scan_due)

    def look(self, now: float) -> int:
        """One look around; returns how many new rows came of it."""
        self._supervise(now)
        try:
            self._answer_doorbell(now)
            self._scan(now)
            return self._admit_rested(now)
        except LedgerUnavailable:
            self.begin_anew(now)  # what was in hand is found again
            raise

    def begin_anew(self, now: float) -> None:
        """Trusts no listing so far: something in the inbox is known to wait for the next one."""
        for scan in self._scans:
            scan.close()
        self._scans = []
        self.last_scan_found_nothing = False
        self.scan_soon(now)

    def scan_soon(self, when: float) -> None:
        self._scan_due = min(self._scan_due, when)

    def _supervise(self, now: float) -> None:
        if now >= self._supervise_due:
            self._supervise_due = now + SUPERVISE_SECONDS
            self._doorbell.supervise()
            self._note_restless(frozenset(self._settling.restless(now - RESTLESS_SECONDS)))

    def _note_restless(self, restless: frozenset[Key]) -> None:
        for root, path in restless - self._restless:
            logger.warning(
                "%s has been changing for %.0f minutes and is not taken before it rests",
                visible(printable_path(os.fsencode(root) + b"/" + path)),
                RESTLESS_SECONDS / 60,
            )
        self._restless = restless

    def _answer_doorbell(self, now: float) -> None:
        paths, scan_wanted = self._doorbell.collect()
        looks = (self._inboxes[root].look_at(path) for root, path in paths)
        self._see_new([arrival for arrival in looks if arrival], now)
        if paths or scan_wanted:
            self.scan_soon(max(now + GATHER_SECONDS, self._no_scan_before))

    def _scan(self, now: float) -> None:
        if not self._scans and now >= self._scan_due:
            self._scans = [inbox.scan() for inbox in self._inboxes.values()]
            self._scan_news = 0
            self._scan_began, self._scan_due = now, now + self._scan_seconds
        while self._scans and len(self._settling) < MAX_WAITING:
            arrivals = self._scans[-1].take(SCAN_STEP)
            if arrivals:
                self._scan_news += self._see_new(arrivals, now)
                return
            self._finish(self._scans.pop())
            self._no_scan_before = now + (now - self._scan_began) / SCAN_SHARE

    def _finish(self, scan: Scan) -> None:
        scan.fault = scan.fault or self._mounts.fault(scan.inbox.root, scan.is_empty)
        before = self._last.get(scan.inbox.root)
        if scan.fault and not (before and before.fault):
            logger.error("%s; clfd goes on trying", scan.fault)
        if before and before.fault and not scan.fault:
            logger.info("inbox %s is back", scan.inbox.root)
        self._last[scan.inbox.root] = scan
        if not self._scans:
            self.last_scan_found_nothing = self._scan_news == 0
            heard = self._last.keys() - self._doorbell.deaf
            self._doorbell.compare_with(sum(self._last[root].folders for root in heard))

    def _see_new(self, arrivals: Iterable[Arrival], now: float) -> int:
        """Leaves out what the ledger knows as it is; the rest waits to settle."""
        news = 0
        for root, group in groupby(arrivals, key=lambda arrival: arrival.inbox):
            found = list(group)
            known = self._ledger.known(root, [arrival.path for arrival in found])
            for arrival in found:
                if known.get(arrival.path) != arrival.fingerprint:
                    self._settling.see(arrival, now)
                    news += 1
            self._ledger.plan_moves([a for a in found if known.get(a.path) == a.fingerprint])
        return news

    def _admit_rested(self, now: float) -> int:
        rested = []
        for key in self._settling.due(now):
            if self._is_busy(key):
                self._settling.restart(key, now)
                continue
            arrival = self._inboxes[key[0]].look_at(key[1])
            if arrival is None:
                self._settling.forget(key)
            elif self._settling.has_rested(arrival, now):
                rested.append(arrival)
        if rested:
            self._ledger.admit(rested)
        for arrival in rested:
            self._settling.forget((arrival.inbox, arrival.path))
        return len(rested)
