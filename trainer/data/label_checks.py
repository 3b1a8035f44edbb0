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
) -> ValidatedExamples:
    """Leaves out what contradicts another example, crosses its group, or has a label too rare.

    `contents` are what tells files apart: their SHA-256, or their paths before they were read.
    """

    def crossed(examples: Sequence[Example], contents: Sequence[Hashable]) -> list[LabelProblem]:
        folds = column_folds(examples, choice, cross_validate)
        return crossings(examples, merged_groups(examples, contents), folds) if folds else []

    def too_rare(examples: Sequence[Example], contents: Sequence[Hashable]) -> list[LabelProblem]:
        if folds := column_folds(examples, choice, cross_validate):
            return untrained(examples, folds)
        if choice.val_fraction == 0 and not cross_validate:
            return []  # everything trains
        return too_few(examples, merged_groups(examples, contents))

    kept = list(range(len(examples)))
    lines: list[str] = []
    for check in (contradictions, crossed, too_rare):
        problems = check([examples[at] for at in kept], [contents[at] for at in kept])
        lines += [problem.line for problem in problems]
        dropped = {position for problem in problems for position in problem.positions}
        kept = [at for position, at in enumerate(kept) if position not in dropped]
    groups = merged_groups([examples[at] for at in kept], [contents[at] for at in kept])
    return ValidatedExamples(tuple(kept), tuple(groups), tuple(lines))


def validate_labels(
    labels: LabelSet, choice: SplitChoice, cross_validate: bool = False
) -> LabelSet:
    """The labels without what is unusable by groups and split, before any file is read.

    Raises LabelsError where fewer than two labels are left.
    """
    paths = [example.path for example in labels.examples]
    validated = validate_examples(labels.examples, paths, choice, cross_validate)
    kept = tuple(labels.examples[at] for at in validated.kept)
    skipped = (*labels.skipped, *validated.problems)
    check_labels(labels.source, kept, skipped)
    return replace(labels, examples=kept, skipped=skipped)
