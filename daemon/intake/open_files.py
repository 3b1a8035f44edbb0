"""Does somebody still write into a file? What file events say of it, and what the kernel says.

Events tell it of every file that is written while its folder is watched. Of one that was begun
before, the kernel tells it by a read lease, which only the owner of the file (or root) may ask
for. Where neither tells, the rest of a file is all there is to judge by.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from storage.home.mounts import FindMount, mount_of
from storage.home.safe_open import open_below

Key = tuple[Path, bytes]
Value = TypeVar("Value")

MAX_REMEMBERED = 10_000  # open files, and closed ones; of older ones something else tells


class WriteEvents:
    """What the events of each file came to; they come from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[Key, bool] = {}  # whether it was written to since it was created
        self._closed: dict[Key, None] = {}

    def created(self, key: Key) -> None:
        self._note_open(key, was_written=False)

    def written(self, key: Key) -> None:
        if not self._open.get(key):  # one event of many: no lock, then
            self._note_open(key, was_written=True)

    def closed(self, key: Key) -> None:
        with self._lock:
            self._open.pop(key, None)
            _remember(self._closed, key, None)

    def moved(self, origin: Key | None, target: Key | None) -> None:
        """From or to another folder where one of them is None. Who writes goes on writing."""
        with self._lock:
            was_written = None if origin is None else self._open.pop(origin, None)
            if origin is not None:
                self._closed.pop(origin, None)
        if target is None:
            return
        if was_written is None:
            self.closed(target)
        else:
            self._note_open(target, was_written)

    def forget(self) -> None:
        """Events were lost: the close of any file may be among them."""
        with self._lock:
            self._open.clear()
            self._closed.clear()

    def is_open(self, key: Key, size_bytes: int) -> bool | None:
        """None where they do not tell, as of a link to a file that was written elsewhere."""
        with self._lock:
            if key in self._closed:
                return False
            was_written = self._open.get(key)
        if was_written is None:
            return None
        return True if was_written or not size_bytes else None

    def _note_open(self, key: Key, was_written: bool) -> None:
        with self._lock:
            self._closed.pop(key, None)
            _remember(self._open, key, was_written)


def _remember(files: dict[Key, Value], key: Key, value: Value) -> None:
    files.pop(key, None)
    files[key] = value
    if len(files) > MAX_REMEMBERED:
        del files[next(iter(files))]


def lease_tells(file: int) -> bool | None:
    """Whether anybody has this file, open here for reading, open for writing; None: not known.

    The lease is given back at once, since who opens the file meanwhile has to wait. The kernel
    signals such a one by SIGIO, which the daemon ignores.
    """
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


@dataclass(eq=False)
class OpenFiles:
    """`is_open` may be asked from any thread. `unwatched` are the inboxes without events."""

    events: WriteEvents
    unwatched: Callable[[], Collection[Path]] = tuple
    find_mount: FindMount = mount_of
    _can_lease: dict[Path, bool] = field(default_factory=dict)  # by the last answer
    _is_local: dict[int, bool] = field(default_factory=dict)  # by device

    def is_open(self, inbox: Path, path: bytes, size_bytes: int) -> bool | None:
        """Whether somebody has it open for writing; None where nothing tells."""
        is_open = self.events.is_open((inbox, path), size_bytes)
        if is_open is False:
            return False
        leased = self._lease_tells(inbox, path)
        return is_open if leased is None else leased

    def witness(self, inbox: Path) -> str:
        """By what writers are noticed in an inbox: events, lease or settling."""
        if inbox not in self.unwatched():
            return "events"
        if inbox not in self._can_lease:
            return "settling" if self.find_mount(inbox).is_network else "lease"
        return "lease" if self._can_lease[inbox] else "settling"

    def _lease_tells(self, inbox: Path, path: bytes) -> bool | None:
        try:
            file = open_below(os.fsencode(inbox), path, os.O_RDONLY)
        except OSError:
            return None
        try:
            is_open = lease_tells(file) if self._lies_here(file, inbox) else None
        finally:
            os.close(file)
        self._can_lease[inbox] = is_open is not None
        return is_open

    def _lies_here(self, file: int, inbox: Path) -> bool:
        """On a file system of this machine: of a share the kernel knows its own writers only."""
        device = os.fstat(file).st_dev
        if device not in self._is_local:
            self._is_local[device] = not self.find_mount(inbox).is_network
        return self._is_local[device]
