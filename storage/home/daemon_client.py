"""Waiting until the running daemon gives an answer in its status file, or serves a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from storage.errors import StorageError
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.daemon_lock import LockHolder, holder, read_status
from storage.home.paths import Home

LOOK_SECONDS = 0.1

Status = Mapping[str, object]
T = TypeVar("T")


def running_daemon(home: Home, instead: str) -> LockHolder:
    """The daemon of this home. Raises StorageError where none runs, with what is so `instead`."""
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
    """Gives each status of the running daemon to `answer` until that returns a result.

    Raises StorageError where no daemon runs (any more), with what is so `instead`, or where it
    takes longer than `seconds`; and whatever `answer` raises.
    """
    deadline = clock() + seconds
    while True:
        found = running_daemon(home, instead)
        status = read_status(home) or {}
        # That of another process is what an earlier daemon left.
        result = answer(status) if status.get("pid") == found.pid else None
        if result is not None:
            return result
        if clock() >= deadline:
            raise StorageError(
                f"the daemon (pid {found.pid} on {found.host}) has not done it within"
                f" {seconds:g} s; `clfd status` tells what it does"
            )
        wait(LOOK_SECONDS)


def wait_until_served(
    home: Home,
    name: str,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Returns when the daemon serves the checkpoint of this name, which was made active before.

    Raises StorageError where the daemon refuses it, with its reason, where another one was made
    active meanwhile, where no daemon runs, or where it takes longer than `seconds`.
    """
    checkpoints = CheckpointFolder(home.checkpoints)
    first_heartbeat: object = None

    def is_served(status: Status) -> bool | None:
        nonlocal first_heartbeat
        served = status.get("served_checkpoint")
        if served == name:
            return True
        if (active := checkpoints.active()) != name:
            raise StorageError(f"{active or 'no checkpoint'} was made active in place of {name}")
        first_heartbeat = first_heartbeat or status.get("heartbeat_at")
        # Nobody knows whether the first status is older than the change of the link.
        is_later = status.get("heartbeat_at") != first_heartbeat
        reason = status.get("checkpoint_refused")
        if is_later and reason and status.get("checkpoint") == name:
            raise StorageError(f"{served} goes on, {name} is not served: {reason}")
        return None

    instead = f"{name} is active, and will be served by the next `clfd run`"
    wait_for_daemon(home, is_served, seconds, instead, clock, wait)
