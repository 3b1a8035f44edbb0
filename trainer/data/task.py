"""The task of labelled examples: one label of all, or several at once and sometimes none.

In a multi task the rows of one part are one example, and names of nothing (`none`, `background`)
are no labels: an example of nothing has none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, replace

from classifier.model.classifier import Task
from storage.labels.label_names import split_labels
from trainer.data.examples import Example, LabelProblem

AUTO = "auto"


@dataclass(frozen=True)
class TaskChoice:
    """What a person asked for: auto, single or multi; and the names of nothing in a multi task."""

    asked: str = "single"
    negative_labels: Collection[str] = ()


def choose_task(examples: Sequence[Example], asked: str) -> tuple[Task, str]:
    """The task, and why: as asked, else multi where one part of a file bears several labels."""
    if asked != AUTO:
        return ("multi" if asked == "multi" else "single"), "it was asked for"
    first_of: dict[Hashable, Example] = {}
    for example in examples:
        if len(split_labels(example.label)) > 1:
            return "multi", f"{example.name} has several labels ({example.label!r})"
        first = first_of.setdefault(_part(example), example)
        if first.label != example.label:
            both = f"{first.label!r} and {example.label!r}"
            return "multi", f"{first.name} and {example.name} give one part {both}"
    return "single", "no part of a file bears several labels"


def as_multi(
    examples: Sequence[Example], negative_labels: Collection[str]
) -> tuple[tuple[Example, ...], dict[int, LabelProblem]]:
    """An example for all rows of one part, in the order of the first; a problem by its row.

    Rows that differ in group, fold or split stay apart, for the checks of these to find.
    """
    negative = {name.casefold() for name in negative_labels}
    of_part: dict[Hashable, list[Example]] = defaultdict(list)
    problems: dict[int, LabelProblem] = {}
    for at, example in enumerate(examples):
        labels = split_labels(example.label)
        positive = tuple(label for label in labels if label.casefold() not in negative)
        if 0 < len(positive) < len(labels):
            line = f"{example.spot('label')}: {example.label!r} is a label and none; keep one"
            problems[example.row or at] = LabelProblem((at,), line)
            continue
        about = (example.fold, example.group, example.split)
        of_part[_part(example), about, bool(positive)].append(replace(example, label_set=positive))
    return tuple(map(_joined, of_part.values())), problems


def _part(example: Example) -> Hashable:
    return example.path, example.start_seconds, example.end_seconds


def _joined(rows: Sequence[Example]) -> Example:
    return rows[0].with_labels(label for row in rows for label in row.labels)
