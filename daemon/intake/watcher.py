"""File system events: they say where to look soon, and are never trusted for more.

watchdog loses events under load, stays silent about roots that vanish, and dies of an exception
in a handler. So handlers do nothing but note a path, the observer is supervised, and whatever
looks odd asks for a scan, which is the truth.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyObserver
from watchdog.observers.inotify_move_event_grouper import InotifyMoveEventGrouper

from daemon.intake.open_files import Key, WriteEvents
from storage.home.inbox_rules import LEAVING
from storage.home.mounts import mount_of

logger = logging.getLogger(__name__)

# Given to the kernel as a mask: our own reads never become events. It makes one of many writes in
# a row, so that a copy at the speed of the disk costs a twentieth of a core.
EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileModifiedEvent,
    FileClosedEvent,
    FileMovedEvent,
    DirCreatedEvent,
    DirMovedEvent,
]
MAX_NOTED = 10_000  # beyond that a scan is cheaper than looking at every path

# The two halves of a rename come from the kernel together. watchdog waits for the second one, and
# holds back all later events meanwhile; 0.5 s would be too long where files are moved out.
InotifyMoveEventGrouper.delay = 0.05

# watchdog warns of folders that vanish while it adds them; the scan covers those.
warnings.filterwarnings("ignore", category=RuntimeWarning, module="watchdog")
# An event that comes while it stops is no error.
logging.getLogger("watchdog.observers.inotify").addFilter(
    lambda record: "thread is inactive" not in record.getMessage()
)


class FileEvent(NamedTuple):
    """A file to look at: `path` within `root`.

    `was_closed` after writing, or was given its name by a move: a program that publishes a file is
    done with it. A file that was only created may have just begun.
    """

    root: Path
    path: bytes
    was_closed: bool


@dataclass(eq=False)
class FileWatcher:
    """Notes files with events in the given folders; `wake` is called for each, from other threads.

    `why_unwatched` says why no events are to be expected in a folder, if that is so.
    """

    roots: Sequence[Path]
    wake: Callable[[], None] = lambda: None
    why_unwatched: Callable[[Path], str | None] = lambda _: None

    def __post_init__(self) -> None:
        self._unwatched: dict[Path, str] = {}
        self._is_short = False
        self._shortage: str | None = None
        self._lock = threading.Lock()  # handlers run in the observer's thread
        self._noted: dict[tuple[Path, bytes], bool] = {}  # whether it was closed
        self._scan_wanted = False
        self._observer: BaseObserver | None = None
        self._identities: list[tuple[int, int] | None] = []
        self._listener = _OverflowListener(self._events_lost)
        self.writes = WriteEvents()

    def start(self) -> None:
        """Watches every root that can be watched; `is_watching` says whether that is all."""
        logging.getLogger("watchdog.observers").addHandler(self._listener)
        self._watch()

    def stop(self) -> None:
        logging.getLogger("watchdog.observers").removeHandler(self._listener)
        self._unwatch()

    @property
    def watching(self) -> dict[str, str]:
        """How new files are noticed in each root."""
        usual = f"events and scans ({self._shortage})" if self._shortage else "events and scans"
        unwatched = {str(root): f"scans ({reason})" for root, reason in self._unwatched.items()}
        return dict.fromkeys(map(str, self.roots), usual) | unwatched

    def compare_with(self, n_folders: int) -> None:
        """watchdog does not say that the kernel refused a watch; a scan counted what there is."""
        n_watches = _n_kernel_watches()
        was_short = self._is_short
        self._is_short = self._observer is not None and n_watches < n_folders
        if not (self._is_short and was_short):  # new folders are watched a moment after a scan
            self._shortage = None
            return
        shortage = f"events from {n_watches} folders only, raise fs.inotify.max_user_watches"
        if self._shortage is None:
            logger.warning("%d folders, %s; scans find the rest", n_folders, shortage)
        self._shortage = shortage

    @property
    def unwatched(self) -> Collection[Path]:
        """Roots that rely on scans alone."""
        return self._unwatched.keys()

    def collect(self) -> tuple[list[FileEvent], bool]:
        """Files to look at since the last call, and whether a whole scan is wanted."""
        with self._lock:
            noted, self._noted = self._noted, {}
            wanted, self._scan_wanted = self._scan_wanted, False
        events = [FileEvent(root, path, was_closed) for (root, path), was_closed in noted.items()]
        return events, wanted

    def supervise(self) -> None:
        """Watches anew when a thread of the observer died or a root became another folder."""
        if self._is_healthy():
            return
        logger.warning("watching the inbox anew: it was replaced, or its watcher stopped")
        self._unwatch()
        self._watch()
        self._events_lost()

    def _watch(self) -> None:
        self._identities = [_identity(root) for root in self.roots]
        self._unwatched = {}
        for root, identity in zip(self.roots, self._identities, strict=True):
            missing = "missing or not readable" if identity is None else None
            if reason := missing or self.why_unwatched(root):
                self._unwatched[root] = reason
        try:
            # Then a move from elsewhere is an event of a move, and not of a file that was created.
            self._observer = InotifyObserver(generate_full_events=True)
            for root in self.roots:
                if root not in self._unwatched:
                    folder = os.path.realpath(root)  # of a link no events would come
                    handler = _Handler(self, root, os.fsencode(folder))
                    self._observer.schedule(handler, folder, recursive=True, event_filter=EVENTS)
            self._observer.start()
        except OSError as error:  # out of inotify instances or watches
            logger.warning("no file events (%s); relying on scans", error.strerror)
            self._unwatched = dict.fromkeys(self.roots, f"no file events: {error.strerror}")
            self._unwatch()

    def _unwatch(self) -> None:
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()
            if observer.is_alive():
                observer.join()

    def _is_healthy(self) -> bool:
        if self._identities != [_identity(root) for root in self.roots]:
            return False
        observer = self._observer
        if observer is None:
            return True  # scans carry on; the kernel's limits do not change by trying again
        return observer.is_alive() and all(emitter.is_alive() for emitter in observer.emitters)

    def note(self, root: Path, path: bytes, was_closed: bool) -> None:
        with self._lock:
            if len(self._noted) < MAX_NOTED:
                self._noted[root, path] = was_closed or self._noted.get((root, path), False)
            else:
                self._scan_wanted = True
        self.wake()

    def _events_lost(self) -> None:
        self.writes.forget()
        self.ask_for_scan()

    def ask_for_scan(self) -> None:
        with self._lock:
            self._scan_wanted = True
        self.wake()


class _Handler(FileSystemEventHandler):
    def __init__(self, watcher: FileWatcher, root: Path, folder: bytes) -> None:
        self._watcher, self._root, self._prefix = watcher, root, folder + b"/"

    def on_any_event(self, event: FileSystemEvent) -> None:
        origin, target = self._key(event.src_path), self._key(event.dest_path)
        if isinstance(event, FileModifiedEvent):
            if origin is not None:
                self._watcher.writes.written(origin)
        elif event.is_directory:
            if event.dest_path or not isinstance(event, DirMovedEvent):  # and it did not leave
                self._watcher.ask_for_scan()  # what it brings has no events of its own
        elif isinstance(event, FileMovedEvent):
            self._watcher.writes.moved(origin, target)
            if target is not None and not os.path.basename(target[1]).startswith(LEAVING):
                self._watcher.note(*target, was_closed=True)
        elif origin is not None and isinstance(event, FileClosedEvent):
            self._watcher.writes.closed(origin)
            self._watcher.note(*origin, was_closed=True)
        elif origin is not None:
            self._watcher.writes.created(origin)
            self._watcher.note(*origin, was_closed=False)

    def _key(self, name: bytes | str) -> Key | None:
        path = os.fsencode(name)
        if not path.startswith(self._prefix):
            return None
        return self._root, path.removeprefix(self._prefix)


class _OverflowListener(logging.Handler):
    """watchdog reports a full kernel queue in its log only."""

    def __init__(self, events_lost: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._events_lost = events_lost

    def emit(self, record: logging.LogRecord) -> None:
        self._events_lost()


def _identity(root: Path) -> tuple[int, int] | None:
    """Which folder the root is now; None where it is missing or may not be read."""
    try:
        found = root.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if os.access(root, os.R_OK | os.X_OK) else None


def _n_kernel_watches() -> int:
    """Of all inotify instances of this process."""
    n_watches = 0
    for handle in os.listdir("/proc/self/fdinfo"):
        with contextlib.suppress(OSError):
            n_watches += Path("/proc/self/fdinfo", handle).read_text().count("inotify wd:")
    return n_watches


def why_no_events(watch: str, root: Path) -> str | None:
    """Why events are not to be waited for in an inbox, by `intake.watch` and where it lies."""
    if watch == "scans":
        return "intake.watch = scans"
    mount = mount_of(root)
    return f"{mount.kind} has no events" if watch == "auto" and mount.is_network else None
