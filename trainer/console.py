"""What a person sees while a network learns: lines on stderr, a bar on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trainer.training.loop import EpochFacts


class ProgressConsole:
    """Says what happens, on stderr; nothing with `-q`."""

    def __init__(self, verbosity: int = 0) -> None:
        self._console = Console(
            stderr=True, quiet=verbosity < 0, soft_wrap=True, markup=False, emoji=False
        )

    def say(self, line: str) -> None:
        self._console.print(line, highlight=False)

    @contextmanager
    def bar(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        """Yields what is to be called after each step; lines said meanwhile stand above the bar."""
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

    def epoch(self, facts: EpochFacts, n_epochs: int) -> None:
        width = len(str(n_epochs))
        line = f"epoch {facts.epoch:{width}}/{n_epochs}  loss {facts.train_loss:.3f}"
        if facts.val_loss is not None:
            line += f"  validation loss {facts.val_loss:.3f}  accuracy {facts.val_accuracy:.1%}"
        self.say(f"{line}  {facts.seconds:.1f} s")
