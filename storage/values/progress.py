"""Progress of long work, on stderr: a bar, one line that is written over, or a line now and then.

Bar and overwritten line appear on a terminal only.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_TICK_SECONDS = 2.0


@contextmanager
def progress_bar(
    wanted: bool, total: int, what: str = "classifying"
) -> Iterator[Callable[[], None]]:
    """Gives a function to call for each of `total` steps."""
    from rich.console import Console
    from rich.progress import Progress

    is_shown = wanted and sys.stderr.isatty()
    with Progress(console=Console(stderr=True), transient=True, disable=not is_shown) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


@contextmanager
def status_line(wanted: bool) -> Iterator[Callable[[str], None]]:
    """Gives a function that shows a text, each time over the one before.

    No thread refreshes it, so that nothing runs beside what is being measured.
    """
    is_shown = wanted and sys.stderr.isatty()

    def show(text: str) -> None:
        if is_shown:
            width = shutil.get_terminal_size().columns
            sys.stderr.write(f"\r\x1b[K{text[: width - 1]}")
            sys.stderr.flush()

    try:
        yield show
    finally:
        show("")


class ProgressTicker:
    """Hands a line to `write` every two seconds; none for what takes less."""

    def __init__(
        self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write
        self._clock = clock
        self._next = clock() + _TICK_SECONDS

    def tick(self, text: str) -> None:
        if self._clock() >= self._next:
            self._write(text)
            self._next = self._clock() + _TICK_SECONDS

    def advance(self, what: str, done: int, total: int) -> None:
        self.tick(f"{what}: {100 * min(done, total) // max(1, total)} %")
