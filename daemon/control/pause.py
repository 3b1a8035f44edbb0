"""Holding the intake while the daemon goes on and finishes what is in flight."""

from __future__ import annotations

import logging
from collections.abc import Callable

from storage.errors import StorageError

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5  # between two looks for the file


class Pause:
    """`look` tells since when the intake is to be held, None if not, or raises StorageError."""

    def __init__(self, look: Callable[[], str | None]) -> None:
        self._look = look
        self._look_due = 0.0
        self.since: str | None = None

    def step(self, now: float) -> None:
        """A home that cannot be looked at for now changes nothing."""
        if now < self._look_due:
            return
        self._look_due = now + LOOK_SECONDS
        try:
            since = self._look()
        except StorageError:
            return
        if (since is None) != (self.since is None):
            logger.info("intake released" if since is None else "intake held; in flight goes on")
        self.since = since

    @property
    def told(self) -> dict[str, object]:
        """For the status."""
        return {"paused": self.since is not None, "paused_since": self.since}
