"""Waiting until the running daemon serves a checkpoint, or says why it does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from storage.errors import StorageError
from storage.home.checkpoint_folder import Shelf
from storage.home.daemon_client import Status, wait_for_daemon
from storage.home.paths import Home


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
    instead = f"{name} is active, and will be served by the next `clfd run`"
    wait_for_daemon(home, _Answer(Shelf(home.checkpoints), name), seconds, instead, clock, wait)


@dataclass
class _Answer:
    """What a status says of one checkpoint.

    Of the first status nobody knows whether it is older than the change of the link, so only a
    later one can be a refusal.
    """

    shelf: Shelf
    name: str
    first_heartbeat: object = None

    def __call__(self, status: Status) -> bool | None:
        if status.get("served_checkpoint") == self.name:
            return True
        if (active := self.shelf.active()) != self.name:
            raise StorageError(
                f"{active or 'no checkpoint'} was made active in place of {self.name}"
            )
        self.first_heartbeat = self.first_heartbeat or status.get("heartbeat_at")
        if status.get("heartbeat_at") != self.first_heartbeat:
            self._require_accepted(status)
        return None

    def _require_accepted(self, status: Status) -> None:
        reason = status.get("checkpoint_refused")
        if reason and status.get("checkpoint") == self.name:
            served = status.get("served_checkpoint")
            raise StorageError(f"{served} goes on, {self.name} is not served: {reason}")
