"""Looking for the promised ends of files in decode workers, since strangers wrote what is read."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from classifier.audio.containers.promised_end import EndCheck, is_complete
from classifier.workers.pool import DecodePool

Key = TypeVar("Key")

CHECKS_AT_ONCE = 16  # in one task: handing one in costs more than a check
CHECK_SECONDS = 5.0  # for a task; a share may be slow


class EndChecker(Generic[Key]):
    """Files are handed in with a key each; `collect` gives the keys of those that are complete.

    There is no other answer, and none where a worker died or was too slow: a file without an
    answer settles as any other.
    """

    def __init__(self, pool: DecodePool[Any]) -> None:
        self._pool = pool
        self._complete: SimpleQueue[Key] = SimpleQueue()

    def submit(self, files: Sequence[tuple[Key, EndCheck]]) -> None:
        for begin in range(0, len(files), CHECKS_AT_ONCE):
            keys, checks = zip(*files[begin : begin + CHECKS_AT_ONCE], strict=True)
            self._pool.call(partial(self._note, keys), CHECK_SECONDS, are_complete, checks)

    def collect(self) -> list[Key]:
        """Those that were found to be complete since the last call; never waits."""
        return [self._complete.get() for _ in range(self._complete.qsize())]

    def _note(self, keys: Sequence[Key], future: Future[list[bool]]) -> None:
        if future.cancelled() or future.exception() is not None:
            return
        for key, complete in zip(keys, future.result(), strict=True):
            if complete:
                self._complete.put(key)


def are_complete(checks: Sequence[EndCheck]) -> list[bool]:
    """Runs in a worker."""
    return [is_complete(check) for check in checks]
