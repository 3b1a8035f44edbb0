"""Loaded by every Python that has this folder in its path: some names kill or hold their decoder.

The daemon itself decodes nothing, so this is for processes that it spawned.
"""

from __future__ import annotations

import os
import signal
import sys

_open = os.open


def _open_or_die(path: object, *arguments: object, **named: object) -> int:
    name = path.rpartition(b"/")[2] if isinstance(path, bytes) else b""
    if name.startswith(b"poison"):
        os.kill(os.getpid(), signal.SIGKILL)
    while name.startswith(b"spinning"):
        pass
    return _open(path, *arguments, **named)  # type: ignore[arg-type]


if "--multiprocessing-fork" in sys.orig_argv:
    os.open = _open_or_die  # type: ignore[assignment]
