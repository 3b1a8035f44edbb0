"""A temporary home, which is removed also when the program is terminated or its terminal closes."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def temporary_home(folder: TemporaryDirectory[str]) -> Iterator[Path]:
    """Enter the folder, and remove it at the end.

    Meanwhile both signals end the program by SystemExit, so that the removal happens.
    """
    earlier = [signal.signal(number, _exit) for number in SIGNALS]
    try:
        with folder as name:
            yield Path(name)
    finally:
        for number, handler in zip(SIGNALS, earlier, strict=True):
            signal.signal(number, handler)


def _exit(signal_number: int, _: FrameType | None) -> NoReturn:
    sys.exit(128 + signal_number)
