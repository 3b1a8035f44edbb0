"""Progress on a terminal; nothing where nobody looks."""

from __future__ import annotations

import shutil
import sys
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
