"""Progress on a terminal; nothing where nobody looks."""

from __future__ import annotations

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
