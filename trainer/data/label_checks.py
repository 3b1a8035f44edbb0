"""Which examples can be used together: contradictions, crossed groups, labels that are too rare."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from trainer.data.examples import Example, LabelProblem, LabelSet
from trainer.data.labels import check_labels
from trainer.data.overlaps import contradictions, merged_groups
from trainer.data.splits import SplitChoice, column_folds, crossings, too_few, untrained


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
    known: list[LabelProblem] | None = None,
) -> ValidatedExamples:
    """Leaves out what contradicts another example, crosses its group, or has a label too rare.

    `contents` are what tells files apart: their SHA-256, or their paths before they were read.
    `known` are the contradictions, where these were looked for already.
    """
    found = contradictions(examples, contents) if known is None else known
    kept: list[int] = list(range(len(examples)))
    lines: list[str] = []
    for check in (None, _crossings, _rarities):
        left = [examples[at] for at in kept]
        if check is not None:
            groups = merged_groups(left, [contents[at] for at in kept])
            found = check(left, groups, choice, cross_validate)
        lines += [problem.line for problem in found]
        dropped = {position for problem in found for position in problem.positions}
        kept = [at for position, at in enumerate(kept) if position not in dropped]
    groups = merged_groups([examples[at] for at in kept], [contents[at] for at in kept])
    return ValidatedExamples(tuple(kept), tuple(groups), tuple(lines))


def validate_labels(
    labels: LabelSet, choice: SplitChoice, cross_validate: bool = False
) -> LabelSet:
    """The labels without what is unusable by groups and split, before any file is read.

    Contradictions between its rows were left out when the file was read. Raises LabelsError where
    fewer than two labels are left.
    """
    examples = labels.examples
    paths = [example.path for example in examples]
    validated = validate_examples(examples, paths, choice, cross_validate, known=[])
    kept = tuple(examples[at] for at in validated.kept)
    skipped = (*labels.skipped, *validated.problems)
    check_labels(labels.source, kept, skipped)
    return replace(labels, examples=kept, skipped=skipped)


def _crossings(
    examples: Sequence[Example], groups: Sequence[str], choice: SplitChoice, cross_validate: bool
) -> list[LabelProblem]:
    folds = column_folds(examples, choice, cross_validate)
    return [] if folds is None else crossings(examples, groups, folds)


def _rarities(
    examples: Sequence[Example], groups: Sequence[str], choice: SplitChoice, cross_validate: bool
) -> list[LabelProblem]:
    folds = column_folds(examples, choice, cross_validate)
    if folds is not None:
        return untrained(examples, folds)
    if choice.val_fraction == 0 and not cross_validate:
        return []  # everything trains
    return too_few(examples, groups)
