"""Loaded by every Python that has this folder in its path: some names kill whoever opens them.

The daemon itself never opens a recording, so these are its decode workers.
"""

from __future__ import annotations

import os
import signal

_open = os.open


def _open_or_die(path: object, *arguments: object, **named: object) -> int:
    if isinstance(path, bytes) and b"poison" in path.rpartition(b"/")[2]:
        os.kill(os.getpid(), signal.SIGKILL)
    return _open(path, *arguments, **named)  # type: ignore[arg-type]


os.open = _open_or_die  # type: ignore[assignment]
