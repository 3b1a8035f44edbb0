"""Errors between a labels file and a published checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

MAX_LISTED = 20


class TrainerError(Exception):
    """One line: what, which one, what to do."""

    exit_code = 1


class LabelsError(TrainerError):
    """Labels that cannot be used; `problems` has one line for each problem.

    The text names the first; `listing` has all of them, up to a limit. Problems
    of rows can be left out, problems of the whole file cannot.
    """

    def __init__(self, source: Path, problems: Sequence[str], of_rows: bool = False) -> None:
        super().__init__(source, problems, of_rows)
        self.source = source
        self.problems = tuple(problems)
        self._of_rows = of_rows

    def __str__(self) -> str:
        how_many = f"{len(self.problems)} problems, the first: " if len(self.problems) > 1 else ""
        remedy = "correct the labels" + ", or leave such rows out with --skip-bad" * self._of_rows
        return f"{self.source}: {how_many}{self.problems[0]}; {remedy}"

    def listing(self) -> list[str]:
        return first_lines(self.problems)


def first_lines(problems: Sequence[str]) -> list[str]:
    """The first problems, one a line, and how many more there are."""
    more = len(problems) - MAX_LISTED
    return [*problems[:MAX_LISTED], *([f"and {more} more"] if more > 0 else [])]


class NoTable(TrainerError):
    """A sound that was given in place of a table or a folder."""


class SoundsMissing(TrainerError):
    """A table whose sounds lie elsewhere, all of them."""


class SplitError(TrainerError):
    """The examples cannot be divided as asked."""


class OptionError(TrainerError):
    """What was asked of a training contradicts itself, or is not to be had."""

    exit_code = 2


class RecipeError(TrainerError):
    """A choice of hyperparameters from which no network can be built."""


class TrainingDiverged(TrainerError):
    """The loss or a weight is no number any more."""


class ExportError(TrainerError):
    """A checkpoint cannot be written in the format or to the path that was asked for."""


class ProcessLost(TrainerError):
    """Another process of the same training ended, so that this one cannot go on."""


class ToldElsewhere(TrainerError):
    """An error that another process of this node tells."""
