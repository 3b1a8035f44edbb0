"""Holding the intake while the daemon goes on and finishes what is in flight."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from daemon.component import Component
from storage.errors import StorageError

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5  # between two looks for the file


@dataclass(eq=False)
class Pause(Component):
    """`paused_since` gives when the hold of the intake began, or None; or raises StorageError."""

    paused_since: Callable[[], str | None]
    since: str | None = None
    _poll_due: float = 0.0

    def step(self, now: float) -> None:
        """A home that cannot be read now changes nothing."""
        if now < self._poll_due:
            return
        self._poll_due = now + POLL_SECONDS
        try:
            since = self.paused_since()
        except StorageError:
            return
        if (since is None) != (self.since is None):
            logger.info("intake released" if since is None else "intake held; in flight goes on")
        self.since = since

    def is_paused(self) -> bool:
        return self.since is not None

    def status(self) -> Mapping[str, object]:
        return {"paused": self.is_paused(), "paused_since": self.since}
