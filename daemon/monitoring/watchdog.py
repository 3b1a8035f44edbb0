"""Pings for the service manager's watchdog, as long as the daemon makes progress.

A ping goes out with each status, from the loop itself. No other thread sends any: it would go on
while the loop stands still. So it is decided on purpose what silence means:

- A dead mount gives no listing back. The loop stands still, there are no pings, and a restart is
  what helps, if anything does.
- A device that hangs never gives a batch back. Recordings are in the window then, and nothing comes
  of any of them, as below.
- Decode workers that are stuck are killed at their deadlines, and a broken pool is begun anew:
  their recordings fail or are tried again, and that is progress. Where recordings are in the
  window and nothing came of any of them for longer than all these deadlines take, there are no
  pings either. A big file's deadline follows what its disk holds of it.
- An observer of the inbox that died is no reason: it is begun anew within a second, and scans find
  what it missed.
- A ledger that is locked or full is waited for. That is alive, however long it takes: a restart
  would not unlock it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from daemon.component import Component
from daemon.monitoring.sd_notify import is_watched, notify
from daemon.monitoring.status import Progress

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class ServiceWatchdog(Component):
    """`max_silence_seconds` says how long the window may go now without any outcome or scored clip.

    `send` hands assignments to the service manager.
    """

    max_silence_seconds: Callable[[], float]
    is_watched: Callable[[], bool] = is_watched
    send: Callable[..., None] = notify
    _last_position: tuple[int, int] | None = None  # the first report begins to count
    _progress_at: float = 0.0
    _last_text: str = ""

    def report(self, progress: Progress, is_waiting: bool, text: str) -> None:
        """Once a second or so. `is_waiting` says that the ledger is waited for."""
        lines = [f"STATUS={text}"] if text != self._last_text else []
        self._last_text = text
        if self._makes_progress(progress, is_waiting) and self.is_watched():
            lines.append("WATCHDOG=1")
        if lines:
            self.send(*lines)

    def _makes_progress(self, progress: Progress, is_waiting: bool) -> bool:
        position = (progress.clips, progress.recordings)
        if not progress.in_flight or is_waiting or position != self._last_position:
            self._last_position, self._progress_at = position, progress.at
        seconds = progress.at - self._progress_at
        if seconds <= self.max_silence_seconds():
            self.fault = None
            return True
        fault = f"nothing has come of {progress.in_flight} recordings in flight for {seconds:.0f} s"
        if self.fault is None:
            logger.error("%s; the service manager is told no more that clfd lives", fault)
        self.fault = fault
        return False
