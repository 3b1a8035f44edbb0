"""Waiting until the running daemon answers in its status file: it serves a checkpoint, or reloaded.

A reload is asked for by a file and not by a signal: whoever may write in the home may ask, also
from another container, and a daemon in a terminal takes SIGHUP for the terminal's end.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from storage.errors import ReloadRefused, StorageError
from storage.home.atomic_write import write_whole
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.daemon_lock import LockHolder, holder, read_status
from storage.home.paths import FILE_MODE, Home

LOOK_SECONDS = 0.1
NOTHING_TO_RELOAD = "the settings are read by the next `clfd run`"

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


def ask_for_reload(home: Home, seconds: float) -> Iterator[str]:
    """Yields what came of it, line by line.

    Raises ReloadRefused with the reason where settings or checkpoint were refused, and StorageError
    where no daemon answers within `seconds`.
    """
    running_daemon(home, NOTHING_TO_RELOAD)
    word = secrets.token_hex(8)
    write_whole(home.reload_request(word), b"", FILE_MODE)

    def answer(status: Status) -> tuple[Status, Mapping[str, object]] | None:
        reload = status.get("reload")
        is_ours = isinstance(reload, dict) and word in reload.get("requests", ())
        return (status, reload) if is_ours else None  # type: ignore[return-value]

    status, reload = wait_for_daemon(home, answer, seconds, NOTHING_TO_RELOAD)
    if reload["error"]:
        raise ReloadRefused(str(reload["error"]))
    yield f"reloaded, serving {status['served_checkpoint']}; changed: {_listed(reload['applied'])}"
    if status["restart_to_apply"]:
        yield f"restart to apply: {_listed(status['restart_to_apply'])}"
    warnings = status.get("warnings")
    yield from (f"warning: {each}" for each in (warnings if isinstance(warnings, list) else ()))


def _listed(keys: object) -> str:
    return (", ".join(map(str, keys)) if isinstance(keys, list) else "") or "nothing"
