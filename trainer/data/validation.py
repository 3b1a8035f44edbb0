"""Which examples can be used together: what only shows when files and split are seen as a whole."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from trainer.data.examples import Example, LabelProblem, LabelSet
from trainer.data.labels import check_labels
from trainer.data.overlaps import contradictions, merged_groups
from trainer.data.splits import SplitChoice, column_rounds, crossings, too_few, untrained


@dataclass(frozen=True)
class ValidatedExamples:
    """Positions of the examples that can be used, ascending, and a line for each problem."""

    kept: tuple[int, ...]
    problems: tuple[str, ...]


def sift(
    examples: Sequence[Example],
    contents: Sequence[Hashable],
    choice: SplitChoice,
    cross_validate: bool = False,
) -> ValidatedExamples:
    """Leaves out what contradicts another example, crosses its group, or has a label too rare.

    `contents` are what tells files apart: their SHA-256, or their paths before they were read.
    Each sieve sees what the one before it has left.
    """
    kept = list(range(len(examples)))
    problems: list[str] = []
    for sieve in (_contradictions, _crossings, _rarities):
        left = [examples[at] for at in kept]
        faults = sieve(left, [contents[at] for at in kept], choice, cross_validate)
        problems += [fault.line for fault in faults]
        out = {kept[position] for fault in faults for position in fault.positions}
        kept = [at for at in kept if at not in out]
    return ValidatedExamples(tuple(kept), tuple(problems))


def sift_labels(labels: LabelSet, choice: SplitChoice, cross_validate: bool = False) -> LabelSet:
    """The labels without what can be seen not to fit before any file is read.

    Raises LabelsError where fewer than two labels are left.
    """
    examples = labels.examples
    sifted = sift(examples, [example.path for example in examples], choice, cross_validate)
    kept = tuple(examples[at] for at in sifted.kept)
    skipped = (*labels.skipped, *sifted.problems)
    check_labels(labels.source, kept, skipped)
    return replace(labels, examples=kept, skipped=skipped)


def _contradictions(
    examples: Sequence[Example], contents: Sequence[Hashable], *_: object
) -> list[LabelProblem]:
    return contradictions(examples, contents)


def _crossings(
    examples: Sequence[Example],
    contents: Sequence[Hashable],
    choice: SplitChoice,
    cross_validate: bool,
) -> list[LabelProblem]:
    rounds = column_rounds(examples, choice, cross_validate)
    return [] if rounds is None else crossings(examples, merged_groups(examples, contents), rounds)


def _rarities(
    examples: Sequence[Example],
    contents: Sequence[Hashable],
    choice: SplitChoice,
    cross_validate: bool,
) -> list[LabelProblem]:
    rounds = column_rounds(examples, choice, cross_validate)
    if rounds is not None:
        return untrained(examples, rounds)
    if choice.val_fraction == 0 and not cross_validate:
        return []  # everything trains
    return too_few(examples, merged_groups(examples, contents))
