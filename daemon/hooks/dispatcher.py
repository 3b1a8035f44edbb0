"""Hooks: each new answer, or an alert for each sound in it, is sent, in threads of their own.

They read the ledger as any other reader does and keep a cursor of their own. So a hook that fails,
hangs or is far behind costs no recording any time, and it misses no answer: the ledger is the
queue, and a few answers of it are in memory at a time.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from daemon.backoff import wait_seconds
from daemon.component import Component
from daemon.hooks.alerts import AlertRules
from daemon.hooks.cursor import HookCursor, Place, Unnumbered
from daemon.hooks.targets import RefusedByTarget, Target, TargetUnreachable, targets_of
from storage.database.database import Database
from storage.database.engine import open_database
from storage.database.ledger_files import is_on_server
from storage.errors import StorageError
from storage.fleet.inboxes import machine_place
from storage.fleet.lease import leases_of
from storage.home.paths import Home
from storage.queries.filters import Filters
from storage.queries.result import Result
from storage.queries.results import answers_after, newest_position, unnumbered_after
from storage.settings.schema import Settings
from storage.values.alert import Alert

logger = logging.getLogger(__name__)

QUEUE = 100  # answers in memory
QUEUE_WITH_CLIPS = 10  # of two days and 50 labels each has four megabytes
POLL_SECONDS = 1.0  # between two looks into the ledger
WAITS_SECONDS = (1.0, 5.0, 30.0, 60.0)  # shorter than for disks: others wait for these answers
MAX_TRIES = 5  # of an answer that is refused
TROUBLE_SECONDS = 10.0  # until the ledger, or the disk, is tried again
SAVE_SECONDS = 1.0  # of answers may be sent again after a kill
CLOSE_SECONDS = 10.0  # for what is left to send when the daemon stops

Read = Callable[[Place, AlertRules], list[Result]]


@dataclass(eq=False)
class Hook:
    """`read` gives the next answers, `rules` say which alerts they make.

    `rules` may be exchanged from another thread; answers that are in memory are read again then.
    """

    name: str
    target: Target
    cursor: HookCursor
    read: Read
    rules: AlertRules
    is_aborted: bool = False

    def __post_init__(self) -> None:
        self._rules = self.rules  # of what is in memory
        self._queue: deque[Result] = deque()
        self._alerts: deque[Alert] | None = None  # of the first answer, what is left of them
        self._tries = 0
        self._save_due = 0.0
        self._n_sent = self._n_given_up = self._n_held_back = 0
        self._reason: str | None = None  # why the last try failed
        self._trouble: str | None = None  # with reading the ledger, or with saving the cursor

    @property
    def fault(self) -> str | None:
        reason = self._reason or self._trouble
        return None if reason is None else f"hook {self.name}: {reason}"

    def status(self) -> Mapping[str, object]:
        """Counted since the start."""
        failing = self.fault is not None
        return {
            "told": self._n_sent,
            "given_up": self._n_given_up,
            "held_back": self._n_held_back,
            "failing": failing,
        }

    def step(self) -> float:
        """Sends one alert; gives the seconds after which there may be something to do again."""
        try:
            wait = self._step()
            self._trouble = None
        except StorageError as error:
            wait = self._note_trouble(str(error))
        except Exception as error:  # a fault in clfd; the thread must not end unseen
            wait = self._note_trouble(f"unexpected {type(error).__name__}: {error}")
        return wait

    def save(self) -> None:
        """Raises StorageError."""
        self._save_due = time.monotonic() + SAVE_SECONDS
        self.cursor.save()

    def abort(self) -> None:
        """From another thread."""
        self.is_aborted = True
        self.target.abort()

    def _step(self) -> float:
        if self._rules is not self.rules:
            self._begin_anew()
        if not self._queue:
            self._queue.extend(self.cursor.read(lambda place: self.read(place, self._rules)))
        if not self._queue:
            self.save()
            return POLL_SECONDS
        answer = self._queue[0]
        if self._alerts is None:
            self._alerts = deque(self._rules.alerts_of(answer))
        if self._alerts:
            if wait := self._deliver(answer, self._alerts[0]):
                return wait
            self._alerts.popleft()
        if not self._alerts:
            self._alerts = None
            self.cursor.move_behind(self._queue.popleft())
            if time.monotonic() >= self._save_due:
                self.save()
        return 0.0

    def _begin_anew(self) -> None:
        self._rules = self.rules
        self._queue.clear()
        self._alerts = None
        self._tries = 0
        self.cursor.cooldown.roll_back()

    def _deliver(self, answer: Result, alert: Alert) -> float:
        """0 when it was sent, held back or given up, else the seconds until the next try."""
        cooldown, seconds = self.cursor.cooldown, self._rules.cooldown_seconds
        if seconds and cooldown.hold(alert, seconds):
            self._n_held_back += 1
            return 0.0
        alert = replace(alert, held_back=cooldown.held_back(alert))
        try:
            self.target.send(*self._rules.message(answer, alert))
        except TargetUnreachable as error:
            return self._fail(str(error))
        except RefusedByTarget as error:
            if self._tries + 1 < MAX_TRIES:
                return self._fail(str(error))
            self._n_given_up += 1
            logger.error("hook %s was not told of %s: %s", self.name, alert.path, error)
        else:
            self._n_sent += 1
            if seconds:
                cooldown.begin(alert)
            if self._reason is not None:
                logger.info("hook %s works again", self.name)
            self._reason = None
        self._tries = 0
        return 0.0

    def _fail(self, reason: str) -> float:
        if self._reason is None:
            logger.error("hook %s: %s; clfd goes on trying", self.name, reason)
        self._reason = reason
        self._tries += 1
        return wait_seconds(self._tries, WAITS_SECONDS)

    def _note_trouble(self, trouble: str) -> float:
        if self._trouble is None:
            logger.error("hook %s: %s; clfd goes on trying", self.name, trouble)
        self._trouble = trouble
        return TROUBLE_SECONDS


@dataclass(eq=False)
class HookDispatcher(Component):
    """All hooks there are. They run in threads of their own; this is their status."""

    hooks: Sequence[Hook] = ()

    def status(self) -> Mapping[str, object]:
        return {"hooks": {hook.name: hook.status() for hook in self.hooks}}

    def faults(self) -> Sequence[str]:
        return [hook.fault for hook in self.hooks if hook.fault]

    def change_settings(self, settings: Settings) -> None:
        """Other filters, thresholds and texts; where to send to stays as it is."""
        for hook in self.hooks:
            hook.rules = AlertRules(settings)


@contextmanager
def run_hooks(home: Home, settings: Settings) -> Iterator[HookDispatcher]:
    """Runs the hooks of the settings beside the body.

    At the end they have CLOSE_SECONDS for what is left to send; the next start goes on with the
    rest. Raises ConfigurationError for a command that is not there, or that others may have set.
    """
    targets = targets_of(home, settings.hooks)
    if not targets:
        yield HookDispatcher()
        return
    with open_database(settings.database, "reader") as database:
        hooks = [_hook(home, settings, name, target, database) for name, target in targets.items()]
        closing = threading.Event()
        threads = [
            threading.Thread(
                target=_run, args=(hook, closing), name=f"hook {hook.name}", daemon=True
            )
            for hook in hooks
        ]
        for thread in threads:
            thread.start()
        try:
            yield HookDispatcher(hooks)
        finally:
            closing.set()
            _close(hooks, threads)


def _hook(home: Home, settings: Settings, name: str, target: Target, database: Database) -> Hook:
    def newest() -> int:
        with database.transaction() as connection:
            return newest_position(connection).answer

    machine, is_shared = machine_place(socket.gethostname()), is_on_server(settings.database)
    own = leases_of(machine, str(home.root)) if is_shared else None

    def read(place: Place, rules: AlertRules) -> list[Result]:
        filters, with_clips = Filters(rules=rules.display), rules.is_of_clips
        limit = QUEUE_WITH_CLIPS if with_clips else QUEUE
        with database.transaction() as connection:
            if isinstance(place, Unnumbered):
                return unnumbered_after(connection, filters, *place, limit, with_clips)
            return answers_after(connection, filters, place, limit, with_clips, own)

    cursor = HookCursor(home.hook_file(name), newest)
    return Hook(name, target, cursor, read, AlertRules(settings))


def _run(hook: Hook, closing: threading.Event) -> None:
    """Until the daemon closes and there is nothing more that can be sent."""
    is_last, wait = False, 0.0
    while not hook.is_aborted and not (is_last and wait):
        closing.wait(wait)
        is_last = closing.is_set()
        wait = hook.step()
    try:
        hook.save()
    except StorageError as error:
        logger.error("hook %s sends again what it sent last: %s", hook.name, error)


def _close(hooks: Sequence[Hook], threads: Sequence[threading.Thread]) -> None:
    deadline = time.monotonic() + CLOSE_SECONDS
    for hook, thread in zip(hooks, threads, strict=True):
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            hook.abort()
    for thread in threads:
        thread.join(CLOSE_SECONDS)
