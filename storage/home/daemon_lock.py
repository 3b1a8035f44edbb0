"""Who is running: the daemon's lock, and the status file that answers when the ledger cannot."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Self

from storage.errors import AlreadyRunning, ConfigurationError, StorageError, os_errors_as
from storage.home.atomic_write import aside_of
from storage.home.paths import FILE_MODE, Home
from storage.home.safe_open import (
    NOT_PLAIN,
    Identity,
    leads_elsewhere,
    open_plain,
    read_plain,
)

# `holder` takes the lock for an instant to see whether it is free; a daemon that starts in that
# very instant must not take it for another daemon.
_TRIES = 10
_TRY_SECONDS = 0.05


class LockHolder(NamedTuple):
    """The process that serves a home."""

    pid: int
    host: str


class DaemonLock:
    """One daemon per home and per ledger, for as long as the process lives.

    What keeps a second daemon out is the lock of the home's folder, which nobody can delete without
    the ledger in it. A ledger elsewhere, in a folder that may hold others, has a lock file beside
    it. The home's lock file tells who serves, and keeps out daemons of the version before, which
    lock nothing else. Nobody locks the ledger's own file: where it is closed again, SQLite's locks
    of this process would be gone, and on NFS both kinds of locks are one.

    A lock belongs to the open file, so a forked child would keep it alive: start workers with spawn
    or forkserver.
    """

    def __init__(self) -> None:
        self._handles: list[int] = []
        self._files: dict[Path, Identity] = {}

    @classmethod
    def acquire(cls, home: Home, ledger: Path | None = None) -> DaemonLock:
        """Raises AlreadyRunning (exit 78) naming the holder, StorageError without a usable home.

        StorageError as well where the folder is locked, but not by a daemon that can be named.
        """
        lock = cls()
        try:
            lock._take(home, ledger)
        except BaseException:
            lock.release()
            raise
        return lock

    def require_in_place(self) -> None:
        """Raises StorageError once a lock file is not the one that is locked any more."""
        for file, opened in self._files.items():
            with suppress(OSError):  # nobody can tell
                if leads_elsewhere(file, opened):
                    raise StorageError(
                        f"{file} was moved, deleted or replaced while the daemon ran, so others"
                        " take it for stopped; start clfd again, and leave this file alone"
                    )

    def release(self) -> None:
        """Let the next daemon in; the files stay. Safe to repeat."""
        while self._handles:
            os.close(self._handles.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _take(self, home: Home, ledger: Path | None) -> None:
        advice = "`clfd init` makes the home"
        if not self._lock_folder(home.root, fcntl.LOCK_EX, advice):
            raise _already_running(home)
        handle = self._lock_file(home.lock_file, advice)
        if handle is None:
            raise _already_running(home)
        if ledger is not None and not _lies_in(home, ledger):
            self._take_ledger(ledger)
        content = f"{os.getpid()} {socket.gethostname()}\n".encode()
        with os_errors_as(StorageError, f"cannot write {home.lock_file}", "look after its disk"):
            os.pwrite(handle, content, 0)
            os.ftruncate(handle, len(content))

    def _take_ledger(self, ledger: Path) -> None:
        """Others may share the folder's lock, but not with a daemon whose home it is."""
        advice = "make the ledger's folder, or set `database` to a file in another one"
        beside = ledger.with_name(f"{ledger.name}.lock")
        is_free = self._lock_folder(ledger.parent, fcntl.LOCK_SH, advice)
        if not is_free or self._lock_file(beside, advice) is None:
            raise AlreadyRunning(
                f"the ledger {ledger} is locked, by the daemon of another home or by another"
                " program; stop it, or set `database` to another file"
            )

    def _lock_folder(self, folder: Path, kind: int, advice: str) -> bool:
        with _opening(folder, advice):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._handles.append(handle)
        with suppress(OSError):
            return _try_lock(handle, kind)
        return True  # some shares lock files alone, which have to do then

    def _lock_file(self, file: Path, advice: str) -> int | None:
        """Its descriptor; None where another process holds the lock."""
        with _opening(file, advice):
            handle = open_plain(file, os.O_RDWR | os.O_CREAT, FILE_MODE)
        self._handles.append(handle)
        with suppress(PermissionError):  # another user's file, whose mode is theirs to set
            os.fchmod(handle, FILE_MODE)
        found = os.fstat(handle)
        self._files[file] = (found.st_dev, found.st_ino)
        with os_errors_as(StorageError, f"cannot lock {file}", "put the home on a local disk"):
            return handle if _try_lock(handle, fcntl.LOCK_EX) else None


def holder(home: Home) -> LockHolder | None:
    """The running daemon; None when no process holds the lock. Raises StorageError."""
    try:
        handle = open_plain(home.lock_file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(
            f"cannot read {home.lock_file}: {_advised(error, 'join the group that owns the home')}"
        ) from error
    try:
        return _holder_of(handle)
    finally:
        os.close(handle)


def write_status(home: Home, status: Mapping[str, object]) -> None:
    """Replace the status file in one step. Only the holder of the lock calls this.

    Not flushed: after a power cut there is no daemon to report about.
    """
    with aside_of(home.status_file) as handle:
        os.fchmod(handle, FILE_MODE)
        with open(handle, "w", encoding="utf-8", closefd=False) as file:
            json.dump(status, file)


def read_status(home: Home) -> dict[str, object] | None:
    """What the daemon last wrote; None when there is nothing readable."""
    try:
        status = json.loads(read_plain(home.status_file))
    except (OSError, ValueError):
        return None
    return status if isinstance(status, dict) else None


@contextmanager
def _opening(path: Path, advice: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"cannot open {path}: {_advised(error, advice)}") from error


def _lies_in(home: Home, ledger: Path) -> bool:
    with suppress(OSError):
        return ledger.parent.samefile(home.root)
    return False


def _advised(error: OSError, advice: str) -> str:
    """What went wrong and what to do, where the one does not say the other."""
    if error.errno == errno.EROFS:
        advice = "mount it for writing"
    return NOT_PLAIN if error.strerror == NOT_PLAIN else f"{error.strerror}; {advice}"


def _try_lock(handle: int, kind: int) -> bool:
    for _ in range(_TRIES):
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_TRY_SECONDS)
        else:
            return True
    return False


def _already_running(home: Home) -> StorageError:
    found = holder(home)
    if found is None:
        return StorageError(
            f"the folder {home.root} is locked, by a backup or another program, or by a daemon"
            f" whose {home.lock_file.name} was deleted (`lslocks` names it); end it, then try again"
        )
    return AlreadyRunning(
        f"a daemon already serves {home.root} (pid {found.pid} on {found.host});"
        " stop it, or choose another home with --home"
    )


def _holder_of(handle: int) -> LockHolder | None:
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # closing the file gives it back
    except BlockingIOError:
        pid, _, host = os.pread(handle, 512, 0).decode(errors="replace").strip().partition(" ")
        # Locked, but not written yet: there is a daemon, and it will have a name in a moment.
        return LockHolder(int(pid), host) if pid.isdecimal() else LockHolder(0, "unknown")
    return None
