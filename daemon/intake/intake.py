"""Taking files in: file events and scans name files; those that come to rest get a ledger row.

The folder against the ledger is the truth. A scan runs at start, after every burst of events, on
a timer, and when the watcher may have lost events.
"""

from __future__ import annotations

import logging
import math
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import InitVar, dataclass, field
from itertools import groupby
from pathlib import Path

from daemon.intake.change_times import ChangeTimes
from daemon.intake.end_checks import EndChecker
from daemon.intake.new_suffixes import NewSuffixes
from daemon.intake.open_files import Key, OpenFiles
from daemon.intake.scanner import Inbox, MountMemory, Scan
from daemon.intake.stability import MAX_OPEN_SECONDS, Settling
from daemon.intake.watcher import FileEvent, FileWatcher
from storage.errors import LedgerUnavailable
from storage.ledger.ledger import Ledger
from storage.ledger.outcomes import Arrival
from storage.settings.schema import IntakeSettings
from storage.values.text import printable_path, visible

logger = logging.getLogger(__name__)

EVENTS_STEP = 100  # files with an event that are looked at in one look
MAX_EVENTS = 10_000  # that wait for a look; the scan that follows finds the files beyond
SETTLED_STEP = 256  # files that get their rows in one look: decoders wait for the first ones
SCAN_STEP = 500  # names listed and compared with the ledger in one look: a tick stays short
MAX_WAITING = 50_000  # a scan pauses here until the first files have come to rest
GATHER_SECONDS = 1.0  # from an event to the scan that makes sure; one scan serves a burst
SCAN_SHARE = 0.1  # of the time, about, goes into scans at most
NAME_SECONDS = 30e-6  # for a name in a listing and its row in the ledger, on a local disk
SUPERVISE_SECONDS = 1.0
UNSETTLED_SECONDS = 600.0  # a file that has been changing for longer is named


@dataclass(eq=False)
class Intake:
    """`is_busy` says whether a path is being decoded right now: its row must be left alone.

    `restore` is given the files that a kill left on their way to the archive. `may_scan` says
    whether an inbox that other daemons see, too, is this one's to list.
    """

    inboxes: InitVar[Sequence[Inbox]]
    settings: InitVar[IntakeSettings]
    ledger: Ledger
    mounts: MountMemory
    watcher: FileWatcher
    is_busy: Callable[[Key], bool]
    end_checker: EndChecker
    open_files: OpenFiles
    restore: Callable[[Path, Sequence[bytes]], None]
    new_suffixes: NewSuffixes
    change_times: ChangeTimes = field(default_factory=ChangeTimes)
    may_scan: Callable[[Path], bool] = lambda root: True

    def __post_init__(self, inboxes: Sequence[Inbox], settings: IntakeSettings) -> None:
        self._inboxes = {inbox.root: inbox for inbox in inboxes}
        self._names = (settings.suffixes, settings.ignore)
        self._scan_seconds = settings.scan_seconds
        self._settling = Settling(settings.settle_seconds)
        # What is moved away at once might be missed by a program that has more to do with it.
        self._checks_ends = not settings.archive_dir
        self._events: deque[FileEvent] = deque()
        self._scans: list[Scan] = []
        self._scan_due = 0.0  # at once
        self._no_scan_before = 0.0
        self._scan_news = 0
        self._supervise_due = 0.0
        self._last: dict[Path, Scan] = {}
        self._unsettled: frozenset[Key] = frozenset()
        self._has_more_settled = False
        self.last_scan_found_nothing = False
        self.patience_seconds = math.inf

    def change_settings(self, inboxes: Sequence[Inbox], settings: IntakeSettings) -> None:
        """Other suffixes, globs and times of the same folders; with other names they are listed."""
        if settings.scan_seconds < self._scan_seconds:
            self.scan_soon(self._no_scan_before)  # and not when the longer time is over
        self._scan_seconds = settings.scan_seconds
        self._settling.settle_seconds = settings.settle_seconds
        names = (settings.suffixes, settings.ignore)
        if names != self._names:
            self.new_suffixes.remember(settings.suffixes)
            self._inboxes, self._names = {inbox.root: inbox for inbox in inboxes}, names
            self._settling = Settling(settings.settle_seconds)  # with what is not ours any more
            self.begin_anew(now=0.0)

    @property
    def waiting(self) -> int:
        """Files that have not come to rest."""
        return len(self._settling)

    def awaited(self, now: float, seconds: float) -> dict[str, str]:
        """Files that do not come to rest for so long, by what is the matter with them."""
        open_files = self._settling.open_files
        return {
            visible(printable_path(key[1])): (
                "is open for writing" if key in open_files else "is still changing"
            )
            for key in sorted(self._settling.awaited(now - seconds))
        }

    def has_others_waiting(self, now: float) -> bool:
        """Whether files have not come to rest for which patience has not ended."""
        return self.waiting > len(self._settling.awaited(now - self.patience_seconds))

    @property
    def ignored(self) -> int:
        """Files that the last scans left out for their names."""
        return sum(scan.ignored + scan.partial for scan in self._last.values())

    @property
    def ignored_suffixes(self) -> Counter[str]:
        """Of these, those that were left out for their suffix."""
        return sum((scan.by_suffix for scan in self._last.values()), Counter())

    @property
    def faults(self) -> list[str]:
        """Inboxes, folders and files that could not be listed or looked at."""
        return [fault for scan in self._last.values() for fault in scan.faults]

    @property
    def unsettled(self) -> list[str]:
        """Files that change again and again, and are not taken for that."""
        return sorted(visible(printable_path(path)) for _, path in self._unsettled)

    @property
    def held_open(self) -> list[str]:
        """Files that somebody has open for writing, and are not taken for that."""
        return sorted(visible(printable_path(path)) for _, path in self._settling.open_files)

    @property
    def witnesses(self) -> dict[str, str]:
        """By what it is noticed in each inbox that a file is still being written."""
        return {str(root): self.open_files.witness(root) for root in self._inboxes}

    @property
    def has_more(self) -> bool:
        """Whether another look at once would get on; a full waiting room makes a scan pause."""
        can_scan = bool(self._scans) and len(self._settling) < MAX_WAITING
        return bool(self._events) or self._has_more_settled or can_scan

    def next_due(self) -> float:
        """The next moment at which `look` has something to do by itself."""
        due = self._settling.next_due()
        return self._scan_due if due is None else min(due, self._scan_due)

    def look(self, now: float) -> None:
        """Takes in what events, a scan and the checks of ends show, a limited part of it."""
        self._supervise(now)
        try:
            self._look_at_events(now)
            self._scan(now)
            for arrival in self.end_checker.collect():
                self._settling.complete(arrival)
        except LedgerUnavailable:
            self.begin_anew(now)  # what was in hand is found again
            raise

    def settled(self, now: float) -> list[Arrival]:
        """Files that came to rest, by a last look at them: to be admitted, and then forgotten.

        Some at a time: while tens of thousands get their rows nobody would decode or score.
        """
        settled = []
        due = self._settling.due(now, SETTLED_STEP)
        self._has_more_settled = len(due) == SETTLED_STEP
        for key in due:
            if self.is_busy(key):
                self._settling.restart(key, now)
                continue
            arrival = self._inboxes[key[0]].look_again(key[1])
            if arrival is None:
                self._settling.forget(key)
            elif self._settling.has_settled(arrival, now) and not self._is_held(arrival, now):
                settled.append(arrival)
        return settled

    def _is_held(self, arrival: Arrival, now: float) -> bool:
        key = arrival.inbox, arrival.path
        if not self.open_files.is_open(*key, arrival.size_bytes):
            return False
        if self._settling.holds_open(key, now):
            return True
        logger.warning(
            "%s is taken though it is open for writing: it has not changed for %.0f minutes",
            _shown(key),
            MAX_OPEN_SECONDS / 60,
        )
        return False

    def forget(self, admitted: Iterable[Arrival]) -> None:
        """These have their rows."""
        for arrival in admitted:
            self._settling.forget((arrival.inbox, arrival.path))

    def begin_anew(self, now: float) -> None:
        """Trusts no listing so far: something in the inbox is known to wait for the next one."""
        for scan in self._scans:
            scan.close()
        self._scans = []
        self.last_scan_found_nothing = False
        self.scan_soon(now)

    def scan_again(self, now: float) -> None:
        """Something in the inbox is known to wait for another listing, after the present one.

        Where there are many files it comes with the usual pause: a program that touches one file
        after the other would have all of them listed for each.
        """
        self._expect_news()
        self.scan_soon(max(now, self._no_scan_before))

    def _expect_news(self) -> None:
        self._scan_news, self.last_scan_found_nothing = self._scan_news + 1, False

    def scan_soon(self, when: float) -> None:
        self._scan_due = min(self._scan_due, when)

    def _supervise(self, now: float) -> None:
        if now >= self._supervise_due:
            self._supervise_due = now + SUPERVISE_SECONDS
            self.watcher.supervise()
            self._warn_of_unsettled(now)

    def _warn_of_unsettled(self, now: float) -> None:
        unsettled = frozenset(self._settling.unsettled(now - UNSETTLED_SECONDS))
        for key in unsettled - self._unsettled:
            logger.warning(
                "%s has been changing for %.0f minutes and is not taken before it rests",
                _shown(key),
                UNSETTLED_SECONDS / 60,
            )
        self._unsettled = unsettled

    def _look_at_events(self, now: float) -> None:
        events, scan_wanted = self.watcher.collect()
        room = MAX_EVENTS - len(self._events)
        self._events.extend(events[:room])
        if scan_wanted or len(events) > room:
            self._expect_news()
        if events or scan_wanted:
            self.scan_soon(max(now + GATHER_SECONDS, self._no_scan_before))
        some = [self._events.popleft() for _ in range(min(EVENTS_STEP, len(self._events)))]
        looks = (self._inboxes[event.root].look_at(event.path) for event in some)
        closed = {(event.root, event.path) for event in some if event.was_closed}
        news = self._new_versions([arrival for arrival in looks if arrival])
        for arrival in news:
            self._settling.see(arrival, now)
        if self._checks_ends:
            self.end_checker.submit([a for a in news if (a.inbox, a.path) in closed])

    def _scan(self, now: float) -> None:
        if not self._scans and now >= self._scan_due:
            mine = (one for one in self._inboxes.values() if self.may_scan(one.root))
            self._scans = [inbox.scan() for inbox in mine]
            self.change_times.look_at(self._inboxes)
            self._scan_news = 0
            self._scan_due = now + self._scan_seconds
        while self._scans and len(self._settling) < MAX_WAITING:
            arrivals = self._scans[-1].take(SCAN_STEP)
            self.new_suffixes.see(arrivals)
            news = self._new_versions(arrivals)
            for arrival in news:
                self._settling.see(arrival, now, self._rest_seconds)
            given_up = self._settling.awaited(now - self.patience_seconds)
            self._scan_news += sum((a.inbox, a.path) not in given_up for a in news)
            if not self._scans[-1].is_over:
                return
            self._finish(self._scans.pop())
            # A million files that are done already would keep a core busy with nothing else.
            n_names = sum(scan.n_names for scan in self._last.values())
            self._no_scan_before = now + n_names * NAME_SECONDS / SCAN_SHARE
            self._scan_due = max(self._scan_due, self._no_scan_before)

    def _finish(self, scan: Scan) -> None:
        scan.fault = scan.fault or self.mounts.fault(scan.inbox.root)
        before = self._last.get(scan.inbox.root)
        if scan.fault and not (before and before.fault):
            logger.error("%s; clfd goes on trying", scan.fault)
        if before and before.fault and not scan.fault:
            logger.info("inbox %s is back", scan.inbox.root)
        self._last[scan.inbox.root] = scan
        self.restore(scan.inbox.root, scan.leaving)
        if not self._scans:
            self.new_suffixes.tell()
            self.last_scan_found_nothing = self._scan_news == 0
            watched = self._last.keys() - self.watcher.unwatched
            n_folders = sum(self._last[root].watchable_folders for root in watched)
            self.watcher.compare_with(n_folders)

    def _new_versions(self, arrivals: Iterable[Arrival]) -> list[Arrival]:
        """Leaves out what the ledger knows as it is."""
        news: list[Arrival] = []
        for root, group in groupby(arrivals, key=lambda arrival: arrival.inbox):
            found = list(group)
            known = self.ledger.known(root, [arrival.path for arrival in found])
            news += [a for a in found if known.get(a.path) != a.fingerprint]
            known_files = [a for a in found if known.get(a.path) == a.fingerprint]
            self.ledger.moves.plan_known(known_files)
        return news

    def _rest_seconds(self, arrival: Arrival) -> float:
        """How long a file rested before it was seen; 0 where it is not sure that nobody writes."""
        is_open = self.open_files.is_open(arrival.inbox, arrival.path, arrival.size_bytes)
        return self.change_times.rest_seconds(arrival) if is_open is False else 0.0


def _shown(key: Key) -> str:
    root, path = key
    return visible(printable_path(os.fsencode(root) + b"/" + path))
