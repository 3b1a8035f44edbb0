"""A folder that is gone afterwards, also when the command is terminated or its terminal closes.

That of a command that was killed is removed by the next one.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from classifier.workers.process import temporary_folder

ENDS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def throw_away_folder() -> Iterator[Path]:
    """Meanwhile both signals end the program in order, so that what stands behind it happens."""
    earlier = [signal.signal(end, _leave) for end in ENDS]
    try:
        with temporary_folder("clfd-bench") as folder:
            yield Path(folder)
    finally:
        for end, handler in zip(ENDS, earlier, strict=True):
            signal.signal(end, handler)


def _leave(signal_number: int, _: FrameType | None) -> NoReturn:
    sys.exit(128 + signal_number)
