"""Progress for a person: lines on stderr, a bar on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class ProgressConsole:
    """Prints lines and progress bars on stderr; nothing with `-q`."""

    def __init__(self, verbosity: int = 0) -> None:
        self._console = Console(
            stderr=True, quiet=verbosity < 0, soft_wrap=True, markup=False, emoji=False
        )

    def print_line(self, line: str) -> None:
        self._console.print(line, highlight=False)

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        """Yields a function to call after each step; lines said meanwhile stand above it."""
        progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal or self._console.quiet,
        )
        with progress:
            task = progress.add_task(what, total=total)
            yield lambda: progress.advance(task)
