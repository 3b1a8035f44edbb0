"""Progress: lines on stderr and a bar on a terminal for a person, and a file for the page."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from storage.home.paths import Home
from storage.trainings.training_folder import TrainingFolder, new_training
from storage.trainings.training_progress import ProgressFile, TrainingProgress
from storage.values.text import printable
from storage.values.timestamps import stamp


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


@contextmanager
def open_progress(
    home: Home, folder: Path | None, labels: Path, print_line: Callable[[str], None]
) -> Iterator[ProgressFile]:
    """Of a training, in a folder that was made for it, else in a new one; its end is written too.

    Whoever made the folder may have passed its lock on to this process.
    """
    training = TrainingFolder(folder) if folder else new_training(home)
    lock = training.lock(wait=folder is None)
    first = TrainingProgress(
        pid=os.getpid(),
        host=socket.gethostname(),
        labels=printable(str(labels.absolute())),
        began_at=stamp(datetime.now(UTC)),
    )
    progress = ProgressFile(training.progress_file, first, print_line)
    try:
        yield progress
        progress.update(state="done")
    except BaseException as error:
        state = "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
        progress.update(state=state, error=printable(str(error)) or None)
        raise
    finally:
        if lock is not None:
            os.close(lock)
