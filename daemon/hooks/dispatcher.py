"""Hooks: each new answer is sent to a command or a URL, in threads of their own.

They read the ledger as any other reader does and keep a cursor of their own. So a hook that fails,
hangs or is far behind costs no recording any time, and it misses no answer: the ledger is the
queue, and a few answers of it are in memory at a time.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from daemon.backoff import wait_seconds
from daemon.component import Component
from daemon.hooks.cursor import HookCursor, Place, Unnumbered
from daemon.hooks.targets import (
    CommandTarget,
    RefusedByTarget,
    Target,
    TargetUnreachable,
    UrlTarget,
    require_trusted,
)
from storage.database.engine import open_database
from storage.database.sqlite import Database
from storage.errors import StorageError
from storage.export.text_formats import nested
from storage.home.paths import Home
from storage.queries.filters import Filters
from storage.queries.result import COLUMNS, Result
from storage.queries.results import answers_after, newest_position, unnumbered_after
from storage.settings.schema import HooksSettings, Settings

logger = logging.getLogger(__name__)

QUEUE = 100  # answers in memory
POLL_SECONDS = 1.0  # between two looks into the ledger
WAITS_SECONDS = (1.0, 5.0, 30.0, 60.0)  # shorter than for disks: others wait for these answers
MAX_TRIES = 5  # of an answer that is refused
TROUBLE_SECONDS = 10.0  # until the ledger, or the disk, is tried again
SAVE_SECONDS = 1.0  # of answers may be sent again after a kill
CLOSE_SECONDS = 10.0  # for what is left to send when the daemon stops

Read = Callable[[Place], list[Result]]


@dataclass(eq=False)
class Hook:
    """`read` gives the next answers, `wants` tells which of them are to be sent."""

    name: str
    target: Target
    cursor: HookCursor
    read: Read
    wants: Callable[[Result], bool] = lambda _: True
    is_aborted: bool = False

    def __post_init__(self) -> None:
        self._queue: deque[Result] = deque()
        self._tries = 0
        self._save_due = 0.0
        self._n_sent = self._n_given_up = 0
        self._reason: str | None = None  # why the last try failed
        self._trouble: str | None = None  # with reading the ledger, or with saving the cursor

    @property
    def fault(self) -> str | None:
        reason = self._reason or self._trouble
        return None if reason is None else f"hook {self.name}: {reason}"

    def status(self) -> Mapping[str, object]:
        """Counted since the start."""
        failing = self.fault is not None
        return {"told": self._n_sent, "given_up": self._n_given_up, "failing": failing}

    def step(self) -> float:
        """Sends one answer; gives the seconds after which there may be something to do again."""
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
        if not self._queue:
            self._queue.extend(self.cursor.read(self.read))
        if not self._queue:
            self.save()
            return POLL_SECONDS
        if self.wants(self._queue[0]) and (wait := self._send(self._queue[0])):
            return wait
        self.cursor.move_behind(self._queue.popleft())
        if time.monotonic() >= self._save_due:
            self.save()
        return 0.0

    def _send(self, result: Result) -> float:
        """0 when it was sent or given up, else the seconds until the next try."""
        try:
            self.target.send(json.dumps(nested(result.as_object(COLUMNS))).encode())
        except TargetUnreachable as error:
            return self._fail(str(error))
        except RefusedByTarget as error:
            if self._tries + 1 < MAX_TRIES:
                return self._fail(str(error))
            self._n_given_up += 1
            logger.error("hook %s was not told of %s: %s", self.name, result.path, error)
        else:
            self._n_sent += 1
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


@contextmanager
def run_hooks(home: Home, settings: Settings) -> Iterator[HookDispatcher]:
    """Runs the hooks of the settings beside the body.

    At the end they have CLOSE_SECONDS for what is left to send; the next start goes on with the
    rest. Raises ConfigurationError for a command that is not there, or that others may have set.
    """
    targets = _targets(home, settings.hooks)
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


def _targets(home: Home, settings: HooksSettings) -> dict[str, Target]:
    found: dict[str, Target] = {}
    if settings.command:
        require_trusted(home, settings.command)
        found["command"] = CommandTarget(settings.command, settings.timeout_seconds)
    if settings.url:
        found["url"] = UrlTarget(settings.url, settings.timeout_seconds)
    return found


def _hook(home: Home, settings: Settings, name: str, target: Target, database: Database) -> Hook:
    hooks_settings = settings.hooks
    asked = Filters(rules=settings.results.display_rules)

    def newest() -> int:
        with database.transaction() as connection:
            return newest_position(connection).answer

    def read(place: Place) -> list[Result]:
        with database.transaction() as connection:
            if isinstance(place, Unnumbered):
                return unnumbered_after(connection, asked, *place, QUEUE)
            return answers_after(connection, asked, place, QUEUE)

    def wants(result: Result) -> bool:
        is_named = not hooks_settings.labels or result.label in hooks_settings.labels
        return is_named and (result.confidence or 0.0) >= hooks_settings.min_confidence

    return Hook(name, target, HookCursor(home.hook_file(name), newest), read, wants)


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
