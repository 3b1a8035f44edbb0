"""Which examples can be used together: contradictions, crossed groups, labels that are too rare."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from trainer.data.examples import Example, LabelProblem, LabelSet
from trainer.data.labels import check_labels
from trainer.data.overlaps import contradictions, merged_groups
from trainer.data.splits import SplitChoice, column_rounds, crossings, too_few, untrained


@dataclass(frozen=True)
class ValidatedExamples:
    """Ascending positions of the usable examples, their merged groups, a line for each problem."""

    kept: tuple[int, ...]
    groups: tuple[str, ...]
    problems: tuple[str, ...]


def validate_examples(
    examples: Sequence[Example],
    contents: Sequence[Hashable],
    choice: SplitChoice,
    cross_validate: bool = False,
) -> ValidatedExamples:
    """Leaves out what contradicts another example, crosses its group, or has a label too rare.

    `contents` are what tells files apart: their SHA-256, or their paths before they were read.
    """
    found = contradictions(examples, contents)
    return _validate(examples, contents, choice, cross_validate, found)


def validate_labels(
    labels: LabelSet, choice: SplitChoice, cross_validate: bool = False
) -> LabelSet:
    """The labels without what is unusable by groups and split, before any file is read.

    Contradictions between its rows were left out when the file was read. Raises LabelsError where
    fewer than two labels are left.
    """
    examples = labels.examples
    paths = [example.path for example in examples]
    validated = _validate(examples, paths, choice, cross_validate, [])
    kept = tuple(examples[at] for at in validated.kept)
    skipped = (*labels.skipped, *validated.problems)
    check_labels(labels.source, kept, skipped)
    return replace(labels, examples=kept, skipped=skipped)


def _validate(
    examples: Sequence[Example],
    contents: Sequence[Hashable],
    choice: SplitChoice,
    cross_validate: bool,
    found: list[LabelProblem],
) -> ValidatedExamples:
    """Leaves out the problems `found`, then those of groups and split among what is left."""
    lines = [problem.line for problem in found]
    kept = _without(range(len(examples)), found)
    groups = merged_groups(*_at(kept, examples, contents))
    for check in (_crossings, _rarities):
        left = [examples[at] for at in kept]
        if found := check(left, groups, choice, cross_validate):
            lines += [problem.line for problem in found]
            kept = _without(kept, found)
            groups = merged_groups(*_at(kept, examples, contents))
    return ValidatedExamples(tuple(kept), tuple(groups), tuple(lines))


def _without(kept: Sequence[int], found: Sequence[LabelProblem]) -> list[int]:
    """The positions that are left, where `found` counts in `kept`."""
    dropped = {position for problem in found for position in problem.positions}
    return [at for position, at in enumerate(kept) if position not in dropped]


def _at(
    kept: Sequence[int], examples: Sequence[Example], contents: Sequence[Hashable]
) -> tuple[list[Example], list[Hashable]]:
    return [examples[at] for at in kept], [contents[at] for at in kept]


def _crossings(
    examples: Sequence[Example], groups: Sequence[str], choice: SplitChoice, cross_validate: bool
) -> list[LabelProblem]:
    rounds = column_rounds(examples, choice, cross_validate)
    return [] if rounds is None else crossings(examples, groups, rounds)


def _rarities(
    examples: Sequence[Example], groups: Sequence[str], choice: SplitChoice, cross_validate: bool
) -> list[LabelProblem]:
    rounds = column_rounds(examples, choice, cross_validate)
    if rounds is not None:
        return untrained(examples, rounds)
    if choice.val_fraction == 0 and not cross_validate:
        return []  # everything trains
    return too_few(examples, groups)
