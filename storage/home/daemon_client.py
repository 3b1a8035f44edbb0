"""Waiting for what the running daemon has to say, by its status file."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from storage.errors import StorageError
from storage.home.daemon_lock import Holder, holder, read_status
from storage.home.paths import Home

LOOK_SECONDS = 0.1

Status = Mapping[str, object]
T = TypeVar("T")


def running_daemon(home: Home, instead: str) -> Holder:
    """The daemon of this home. Raises StorageError where none runs, saying what holds `instead`."""
    found = holder(home)
    if found is None:
        raise StorageError(f"no daemon runs on {home.root}: {instead}")
    return found


def wait_for_daemon(
    home: Home,
    answer: Callable[[Status], T | None],
    seconds: float,
    instead: str,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> T:
    """Puts each status of the running daemon before `answer` until that makes something of it.

    Raises StorageError where no daemon runs (any more), saying what holds `instead`, or where it
    takes longer than `seconds`; and whatever `answer` raises.
    """
    deadline = clock() + seconds
    while True:
        found = running_daemon(home, instead)
        status = read_status(home) or {}
        # That of another process is what an earlier daemon left.
        made = answer(status) if status.get("pid") == found.pid else None
        if made is not None:
            return made
        if clock() >= deadline:
            raise StorageError(
                f"the daemon (pid {found.pid} on {found.host}) has not done it within"
                f" {seconds:g} s; `clfd status` tells what it does"
            )
        wait(LOOK_SECONDS)
