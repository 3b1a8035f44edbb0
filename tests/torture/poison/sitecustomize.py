"""Loaded by every Python that has this folder in its path: some names kill or hold their reader.

The daemon itself never opens a recording, so these are its decode workers.
"""

from __future__ import annotations

import os
import signal

_open = os.open


def _open_or_die(path: object, *arguments: object, **named: object) -> int:
    name = path.rpartition(b"/")[2] if isinstance(path, bytes) else b""
    if name.startswith(b"poison"):
        os.kill(os.getpid(), signal.SIGKILL)
    while name.startswith(b"spinning"):
        pass
    return _open(path, *arguments, **named)  # type: ignore[arg-type]


os.open = _open_or_die  # type: ignore[assignment]
