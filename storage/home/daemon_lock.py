"""Who is running: the daemon's lock, and the status file that answers when the ledger cannot."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Mapping
from typing import NamedTuple, Self

from storage.errors import AlreadyRunning, ConfigurationError, StorageError, os_errors_as
from storage.home.atomic_write import aside_of
from storage.home.paths import FILE_MODE, Home
from storage.home.safe_open import NOT_PLAIN, open_plain, read_plain

# `holder` takes the lock for an instant to see whether it is free; a daemon that starts in that
# very instant must not take it for another daemon.
_TRIES = 10
_TRY_SECONDS = 0.05


class LockHolder(NamedTuple):
    """The process that serves a home."""

    pid: int
    host: str


class DaemonLock:
    """One daemon per home, for as long as the process lives.

    The lock belongs to the open file, so a forked child would keep it alive: start workers with
    spawn or forkserver.
    """

    def __init__(self, handle: int) -> None:
        self._handle = handle

    @classmethod
    def acquire(cls, home: Home) -> DaemonLock:
        """Raises AlreadyRunning (exit 78) naming the holder, StorageError without a usable home."""
        handle = _open_lock_file(home)
        if not _try_lock(handle):
            os.close(handle)
            found = holder(home) or LockHolder(0, "unknown")
            raise AlreadyRunning(
                f"a daemon already serves {home.root} (pid {found.pid} on {found.host});"
                " stop it, or choose another home with --home"
            )
        lock = cls(handle)
        content = f"{os.getpid()} {socket.gethostname()}\n".encode()
        with os_errors_as(StorageError, f"cannot write {home.lock_file}", "look after its disk"):
            try:
                os.pwrite(handle, content, 0)
                os.ftruncate(handle, len(content))
            except OSError:  # a full disk
                lock.release()
                raise
        return lock

    def release(self) -> None:
        """Let the next daemon in; the file stays. Safe to repeat."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


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


def _open_lock_file(home: Home) -> int:
    try:
        handle = open_plain(home.lock_file, os.O_RDWR | os.O_CREAT, FILE_MODE)
    except OSError as error:
        raise ConfigurationError(
            f"cannot open {home.lock_file}: {_advised(error, '`clfd init` makes the home')}"
        ) from error
    with contextlib.suppress(PermissionError):  # another user's file, whose mode is theirs to set
        os.fchmod(handle, FILE_MODE)
    return handle


def _advised(error: OSError, advice: str) -> str:
    """What went wrong and what to do, where the one does not say the other."""
    return NOT_PLAIN if error.strerror == NOT_PLAIN else f"{error.strerror}; {advice}"


def _try_lock(handle: int) -> bool:
    for _ in range(_TRIES):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_TRY_SECONDS)
        else:
            return True
    return False


def _holder_of(handle: int) -> LockHolder | None:
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # closing the file gives it back
    except BlockingIOError:
        pid, _, host = os.pread(handle, 512, 0).decode(errors="replace").strip().partition(" ")
        # Locked, but not written yet: there is a daemon, and it will have a name in a moment.
        return LockHolder(int(pid), host) if pid.isdecimal() else LockHolder(0, "unknown")
    return None
