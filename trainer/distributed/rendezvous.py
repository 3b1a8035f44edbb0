"""Rendezvous: the processes of one start find each other in torchrun's store.

torchrun keeps the store when it starts them again, with the keys of those before. Its count of
restarts does not part them: it may differ between nodes, since only that of a node whose own
process failed goes up. So the main process opens an attempt, and each of the others waits until it
is named in one.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass
from datetime import timedelta

from torch.distributed.distributed_c10d import PrefixStore, Store

from trainer.errors import TrainerError

WAIT_LIMIT = timedelta(minutes=10)
POLL_SECONDS = 0.1
CURRENT = "clfd/attempt"


class LostTouch(RuntimeError):
    """The other processes are in another attempt, or the main one has ended."""


@dataclass(frozen=True)
class Attempt:
    """What the processes of one start tell each other; `is_restart`: others came before them."""

    store: Store
    name: str
    is_restart: bool = False

    @property
    def keys(self) -> PrefixStore:
        return PrefixStore(f"clfd/{self.name}", self.store)

    def wait_for(self, key: str) -> str:
        """The value of a key, however long it takes.

        Raises LostTouch once the main process has ended or was started again, and DistError
        without the store, which the first node keeps.
        """
        keys = self.keys
        while not keys.check([key]):
            if keys.check([ended(0)]) or self.store.get(CURRENT).decode() != self.name:
                raise LostTouch(f"no {key}: the main process has ended")
            time.sleep(POLL_SECONDS)
        return keys.get(key).decode()


def ended(rank: int) -> str:
    """The key of why a process ended."""
    return f"ended/{rank}"


def open_attempt(store: Store, size: int, limit: timedelta = WAIT_LIMIT) -> Attempt:
    """By the main process. Raises TrainerError naming the ranks that do not come."""
    is_restart = store.check([CURRENT])
    attempt = Attempt(store, uuid.uuid4().hex, is_restart)
    store.set(CURRENT, attempt.name)
    keys, others = attempt.keys, range(1, size)
    deadline = time.monotonic() + limit.total_seconds()
    while missing := [rank for rank in others if not keys.check([f"joins/{rank}"])]:
        if time.monotonic() > deadline:
            raise TrainerError(
                f"of {size} processes these did not start: rank {', '.join(map(str, missing))}; "
                "start the same command on every node"
            )
        time.sleep(POLL_SECONDS)
    joined = {rank: keys.get(f"joins/{rank}").decode() for rank in others}
    keys.set("joined", json.dumps(joined))
    return attempt


def join_attempt(store: Store, rank: int, limit: timedelta = WAIT_LIMIT) -> Attempt:
    """By each of the others. Raises TrainerError where the main process opens none for it."""
    own, deadline = uuid.uuid4().hex, time.monotonic() + limit.total_seconds()
    while time.monotonic() < deadline:
        if store.check([CURRENT]):
            attempt = Attempt(store, store.get(CURRENT).decode())
            attempt.keys.set(f"joins/{rank}", own)
            if attempt.keys.check(["joined"]):
                joined = json.loads(attempt.keys.get("joined"))
                if joined[str(rank)] == own:
                    return attempt
        time.sleep(POLL_SECONDS)
    raise TrainerError(
        f"rank {rank} found no main process (rank 0); start the same command on every node"
    )
