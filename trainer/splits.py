"""Which examples train and which validate. Relatives (a group) always stay on one side.

The choice hangs on a hash of seed and group, not on order or chance: the same files divide the
same way on every machine, and a new group displaces at most one other of its label.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from trainer.errors import SplitError
from trainer.labels import Example

HASH_FOLDS = 5
VAL_FRACTION = 0.2


@dataclass(frozen=True)
class SplitChoice:
    """What a person asked for. A fold goes before a fraction, a fraction before a split column."""

    seed: int = 0
    val_fraction: float | None = None
    fold: int | None = None


@dataclass(frozen=True)
class Split:
    """Positions of the examples on both sides, ascending, and how they came there."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    description: str


def split_examples(
    examples: Sequence[Example], groups: Sequence[str], choice: SplitChoice
) -> Split:
    """Divides the examples; `groups` says for each who its relatives are.

    Raises SplitError where a column crosses a group or leaves a label without training examples.
    """
    if choice.fold is not None:
        validates = _in_fold(examples, choice.fold)
        return _columns_split(examples, groups, validates, f"fold {choice.fold} validates")
    has_column = all(example.split is not None for example in examples)
    if has_column and choice.val_fraction is None:
        validates = {at for at, example in enumerate(examples) if example.split == "val"}
        return _columns_split(examples, groups, validates, "column split")
    fraction = VAL_FRACTION if choice.val_fraction is None else choice.val_fraction
    labels = [example.label for example in examples]
    chosen = validation_groups(labels, groups, fraction, choice.seed)
    validates = {at for at, group in enumerate(groups) if group in chosen}
    return _split(len(examples), validates, f"{fraction:g} of groups by hash, seed {choice.seed}")


def related_groups(groups: Sequence[str], contents: Sequence[Hashable]) -> list[str]:
    """Groups that share a content become one, named after the first of them in the alphabet.

    A copy under another name would otherwise be learned by heart and then asked for.
    """
    leader = {group: group for group in groups}

    def find(group: str) -> str:
        while leader[group] != group:
            group = leader[group]
        return group

    first: dict[Hashable, str] = {}
    for group, content in zip(groups, contents, strict=True):
        one, other = find(first.setdefault(content, group)), find(group)
        leader[max(one, other)] = min(one, other)
    return [find(group) for group in groups]


def everything(n_examples: int) -> Split:
    """All examples train, none validates."""
    return _split(n_examples, set(), "all examples train")


def folds(examples: Sequence[Example], groups: Sequence[str], seed: int) -> dict[int, Split]:
    """Cross-validation by the fold column, else by five folds of hashed groups; by fold number.

    Examples without a fold train in every round. Raises SplitError with fewer than two folds, and
    where the column crosses a group or leaves a label without training examples.
    """
    by_column = any(example.fold is not None for example in examples)
    numbers = (
        [example.fold for example in examples]
        if by_column
        else _hash_folds([example.label for example in examples], groups, seed)
    )
    found = sorted({number for number in numbers if number is not None})
    if len(found) < 2:
        raise SplitError("cross-validation needs two folds or more; add files, or a fold column")
    splits = {}
    for fold in found:
        validates = {at for at, number in enumerate(numbers) if number == fold}
        description = f"fold {fold} validates"
        splits[fold] = (
            _columns_split(examples, groups, validates, description)
            if by_column
            else _split(len(examples), validates, description)
        )
    return splits


def validation_groups(
    labels: Sequence[str], groups: Sequence[str], fraction: float, seed: int
) -> set[str]:
    """Groups that validate: of each label the nearest whole number to `fraction` of its groups.

    Every label keeps a group to train on and, where it has two, one to validate on. Rare labels
    choose first, since a group may hold several labels.
    """
    labels_of, groups_of = _members(labels, groups)
    training = {label: len(members) for label, members in groups_of.items()}
    chosen: set[str] = set()
    for label in _rarest_first(groups_of):
        total = len(groups_of[label])
        wanted = min(max(1, round(fraction * total)), total - 1) if fraction > 0 else 0
        for group in _by_hash(groups_of[label] - chosen, seed):
            if total - training[label] >= wanted:
                break
            if all(training[member] > 1 for member in labels_of[group]):
                chosen.add(group)
                training.update({member: training[member] - 1 for member in labels_of[group]})
    return chosen


def _hash_folds(labels: Sequence[str], groups: Sequence[str], seed: int) -> list[int | None]:
    """Deals the groups of each label round; a label's only group trains always (no fold).

    A label begins where the one before it ended, so that the folds grow alike.
    """
    _, groups_of = _members(labels, groups)
    fold_of: dict[str, int | None] = {}
    turns = count()
    for label in _rarest_first(groups_of):
        alone = len(groups_of[label]) == 1
        for group in _by_hash(groups_of[label] - fold_of.keys(), seed):
            fold_of[group] = None if alone else 1 + next(turns) % HASH_FOLDS
    return [fold_of[group] for group in groups]


def _members(
    labels: Sequence[str], groups: Sequence[str]
) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Labels of each group and groups of each label."""
    labels_of: dict[str, set[str]] = defaultdict(set)
    groups_of: dict[str, set[str]] = defaultdict(set)
    for label, group in zip(labels, groups, strict=True):
        labels_of[group].add(label)
        groups_of[label].add(group)
    return labels_of, groups_of


def _rarest_first(groups_of: Mapping[str, set[str]]) -> list[str]:
    return sorted(groups_of, key=lambda label: (len(groups_of[label]), label))


def _by_hash(groups: set[str], seed: int) -> list[str]:
    return sorted(groups, key=lambda group: _hash(group, seed))


def _hash(group: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{group}".encode(errors="surrogateescape")).hexdigest()


def _in_fold(examples: Sequence[Example], fold: int) -> set[int]:
    there = Counter(example.fold for example in examples if example.fold is not None)
    if not there:
        raise SplitError(f"fold {fold} cannot validate: the labels have no fold column; add one")
    if fold not in there:
        known = ", ".join(str(number) for number in sorted(there))
        raise SplitError(f"no example is in fold {fold}; choose one of: {known}")
    return {at for at, example in enumerate(examples) if example.fold == fold}


def _columns_split(
    examples: Sequence[Example], groups: Sequence[str], validates: set[int], description: str
) -> Split:
    _refuse_crossing(examples, groups, validates)
    split = _split(len(examples), validates, description)
    trained = {examples[at].label for at in split.train}
    untrained = sorted({example.label for example in examples} - trained)
    if untrained:
        raise SplitError(
            f"{description}: label {untrained[0]!r} has no example left to train on; "
            "correct the fold or split column, or leave that label out"
        )
    return split


def _refuse_crossing(
    examples: Sequence[Example], groups: Sequence[str], validates: set[int]
) -> None:
    """A network that has heard one half of a recording answers for the other by heart."""
    first_of: dict[str, int] = {}
    for at, group in enumerate(groups):
        first = first_of.setdefault(group, at)
        if (first in validates) != (at in validates):
            places = f"{examples[first].place}, and {examples[at].place}"
            raise SplitError(
                f"group {group!r} is in training and in validation ({places}: of one group, or "
                "the same sound); correct the fold or split column, so that it stays on one side"
            )


def _split(n_examples: int, validates: set[int], description: str) -> Split:
    train = tuple(at for at in range(n_examples) if at not in validates)
    return Split(train, tuple(sorted(validates)), description)
