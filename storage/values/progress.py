"""Progress on a terminal; nothing where nobody looks."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress


@contextmanager
def progress_bar(wanted: bool, total: int) -> Iterator[Callable[[], None]]:
    """Gives a function to call for each of `total` steps."""
    console = Console(stderr=True)
    with Progress(
        console=console, transient=True, disable=not (wanted and sys.stderr.isatty())
    ) as bar:
        task = bar.add_task("classifying", total=total)
        yield lambda: bar.advance(task)


@contextmanager
def status_line(wanted: bool) -> Iterator[Callable[[str], None]]:
    """Gives a function that says what is going on, each time over what it said before.

    No thread refreshes it, so that nothing runs beside what is being measured.
    """
    shown = wanted and sys.stderr.isatty()

    def say(text: str) -> None:
        if shown:
            width = shutil.get_terminal_size().columns
            sys.stderr.write(f"\r\x1b[K{text[: width - 1]}")
            sys.stderr.flush()

    try:
        yield say
    finally:
        say("")


_EVERY_SECONDS = 2.0


class ProgressTicker:
    """Hands what it is told to `tell`, every two seconds; of what is over sooner, nothing."""

    def __init__(
        self, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._next = clock() + _EVERY_SECONDS

    def beat(self, text: str) -> None:
        if self._clock() >= self._next:
            self._tell(text)
            self._next = self._clock() + _EVERY_SECONDS

    def advance(self, what: str, done: int, of: int) -> None:
        self.beat(f"{what}: {100 * min(done, of) // max(1, of)} %")
