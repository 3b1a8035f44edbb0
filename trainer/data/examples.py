"""Labelled examples, sets of them, and problems with them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from classifier.model.classifier import Task
from storage.values.decision import NONE
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
    `label_set` is of a multi task: the labels of `label`, without any in an example of nothing.
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
    label_set: tuple[str, ...] | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        return (self.label,) if self.label_set is None else self.label_set

    @property
    def strata(self) -> tuple[str, ...]:
        """What both sides of a split are to have: its labels, or that it has none."""
        return self.labels or (NONE,)

    @property
    def claim(self) -> str | bool:
        """What contradicts another claim about the same sound: its label, or that it has any."""
        return self.label if self.label_set is None else bool(self.label_set)

    def with_labels(self, labels: Iterable[str]) -> Example:
        """The same example of a multi task with these labels."""
        found = tuple(sorted(set(labels)))
        return replace(self, label=";".join(found) or self.label, label_set=found)

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


def task_of(examples: Sequence[Example]) -> Task:
    return "single" if all(each.label_set is None for each in examples) else "multi"


def true_labels(examples: Sequence[Example], labels: Sequence[str]) -> npt.NDArray[Any]:
    """(R,) positions among `labels`; of a multi task (R, L), whether each label is borne."""
    index = {label: at for at, label in enumerate(labels)}
    if task_of(examples) == "single":
        return np.array([index[example.label] for example in examples], np.int64)
    truth = np.zeros((len(examples), len(labels)), np.bool_)
    for row, example in zip(truth, examples, strict=True):
        row[[index[label] for label in example.labels]] = True
    return truth


@dataclass(frozen=True)
class LabelSet:
    """Examples in the order of their source, its SHA-256, and what had to be left out.

    `task_reason` says why they are of this task.
    """

    source: Path
    digest: str
    examples: tuple[Example, ...]
    skipped: tuple[str, ...] = ()
    task: Task = "single"
    task_reason: str = ""
