"""Labelled examples, sets of them, and problems with them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from storage.values.text import visible


@dataclass(frozen=True)
class LabelProblem:
    """One line, and the positions of the examples that are left out because of it."""

    positions: tuple[int, ...]
    line: str


@dataclass(frozen=True)
class Example:
    """A recording, or a part of one, and the label a person gave it.

    Examples of one `group` are relatives that must stay together; a file without a group is its
    own, and `grouped` says whether a person named one. `row` counts as a spreadsheet does, the
    header being 1; there is none in a folder. `columns` are the file's own names of its columns.
    """

    path: Path
    label: str
    start_seconds: float = 0.0
    end_seconds: float = math.inf
    fold: int | None = None
    group: str = ""
    split: str | None = None
    row: int | None = None
    grouped: bool = False
    columns: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def is_part(self) -> bool:
        return self.start_seconds > 0 or self.end_seconds < math.inf

    @property
    def file(self) -> str:
        """The path as a person can read it, whatever bytes it holds."""
        return visible(str(self.path))

    @property
    def name(self) -> str:
        """How a line about another example names this one."""
        return self.file if self.row is None else f"row {self.row}"

    def spot(self, column: str) -> str:
        """Where a person finds the value of `column` (our name of it)."""
        if self.row is None:
            return self.file
        return f"row {self.row}, column {self.columns.get(column, column)}"

    @property
    def place(self) -> str:
        """Where a person finds this example again."""
        return self.file if self.row is None else f"{self.spot('path')}: {self.file}"


@dataclass(frozen=True)
class LabelSet:
    """Examples in the order of their source, its SHA-256, and what had to be left out."""

    source: Path
    digest: str
    examples: tuple[Example, ...]
    skipped: tuple[str, ...] = ()
