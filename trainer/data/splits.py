"""Which examples train and which validate. Relatives (a group) always stay on one side.

The choice depends on a hash of seed and group, not on order or randomness: the same files are split
the same way on every machine, and a new group displaces at most one other of its label.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from statistics import multimode

from storage.values.text import text_digest
from trainer.data.examples import Example, LabelProblem
from trainer.errors import SplitError

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
    """Positions of the examples on both sides, ascending, and the rule that put them there."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    description: str


def split_examples(
    examples: Sequence[Example], groups: Sequence[str], choice: SplitChoice
) -> Split:
    """Splits the examples; `groups` (R,) keep relatives together.

    Raises SplitError where a column crosses a group, leaves a label without training examples, or
    lets nothing validate.
    """
    folds = column_folds(examples, choice)
    if folds is None:
        return _hash_split(examples, groups, choice)
    _check_columns(examples, groups, folds)
    validates = {at for at, number in enumerate(folds.fold_of) if number is not None}
    if not validates:
        raise _nothing_validates(examples, choice)
    description = "column split" if choice.fold is None else f"fold {choice.fold} validates"
    return _split(len(examples), validates, description)


def column_folds(
    examples: Sequence[Example], choice: SplitChoice, cross_validate: bool = False
) -> ColumnFolds | None:
    """The folds of a fold or split column; None where hashes decide."""
    if cross_validate:
        numbers = tuple(example.fold for example in examples)
        return None if set(numbers) <= {None} else ColumnFolds("fold", numbers)
    if choice.fold is not None:
        held = (example.fold if example.fold == choice.fold else None for example in examples)
        return ColumnFolds("fold", tuple(held))
    has_column = all(example.split is not None for example in examples)
    if has_column and choice.val_fraction is None:
        return ColumnFolds("split", tuple(0 if e.split == "val" else None for e in examples))
    return None


def everything(n_examples: int) -> Split:
    """All examples train, none validates."""
    return _split(n_examples, set(), "all examples train")


def cross_validation(
    examples: Sequence[Example], groups: Sequence[str], seed: int
) -> dict[int, Split]:
    """Cross-validation by the fold column, else by five folds of hashed groups; by fold number.

    Examples without a fold always train. Raises SplitError with fewer than two folds, and
    where the column crosses a group or leaves a label without training examples.
    """
    folds = column_folds(examples, SplitChoice(seed), cross_validate=True)
    if folds is None:
        fold_of = _hash_folds(*_by_label(examples, groups), seed)
        numbers = [fold_of[group] for group in groups]
    else:
        _check_columns(examples, groups, folds)
        numbers = list(folds.fold_of)
    found = sorted({number for number in numbers if number is not None})
    if len(found) < 2:
        raise SplitError("cross-validation needs two folds or more; add files, or a fold column")
    return {
        fold: _split(
            len(examples),
            {at for at, number in enumerate(numbers) if number == fold},
            f"fold {fold} validates",
        )
        for fold in found
    }


def validation_groups(
    labels: Sequence[str], groups: Sequence[str], fraction: float, seed: int
) -> set[str]:
    """Groups that validate: of each label the nearest whole number to `fraction` of its groups.

    Every label keeps a group to train on and, where it has two, one to validate on. Rare labels
    choose first, since a group may hold several labels. A group with most of a label's examples
    validates only where it must: little would be left to learn from.
    """
    labels_of, groups_of = _members(labels, groups)
    size_of, total_of = Counter(zip(labels, groups, strict=True)), Counter(labels)
    training = {label: len(members) for label, members in groups_of.items()}
    chosen: set[str] = set()
    for label in _rarest_first(groups_of):
        n_groups = len(groups_of[label])
        wanted = min(max(1, round(fraction * n_groups)), n_groups - 1) if fraction > 0 else 0
        dominant = {
            group for group in groups_of[label] if 2 * size_of[label, group] > total_of[label]
        }
        candidates = groups_of[label] - chosen
        for group in _by_hash(candidates - dominant, seed) + _by_hash(candidates & dominant, seed):
            if n_groups - training[label] >= wanted:
                break
            if all(training[member] > 1 for member in labels_of[group]):
                chosen.add(group)
                training.update({member: training[member] - 1 for member in labels_of[group]})
    return chosen


def _hash_split(examples: Sequence[Example], groups: Sequence[str], choice: SplitChoice) -> Split:
    fraction = VAL_FRACTION if choice.val_fraction is None else choice.val_fraction
    chosen = validation_groups(*_by_label(examples, groups), fraction, choice.seed)
    validates = {at for at, group in enumerate(groups) if group in chosen}
    description = f"{fraction:g} of groups by hash, seed {choice.seed}"
    return _split(len(examples), validates, description)


def _by_label(examples: Sequence[Example], groups: Sequence[str]) -> tuple[list[str], list[str]]:
    """Labels, and the groups beside them: once for each label of each example."""
    pairs = zip(examples, groups, strict=True)
    found = [(label, group) for example, group in pairs for label in example.strata]
    return [label for label, _ in found], [group for _, group in found]


def _hash_folds(
    labels: Sequence[str], groups: Sequence[str], seed: int
) -> Mapping[str, int | None]:
    """Deals out the groups of each label. A label begins where the one before it ended, so that
    the folds grow alike.

    Where all groups of a label came into one fold, the first of them trains always (no fold).
    """
    _, groups_of = _members(labels, groups)
    fold_of: dict[str, int | None] = {}
    turns = count()
    for label in _rarest_first(groups_of):
        for group in _by_hash(groups_of[label] - fold_of.keys(), seed):
            fold_of[group] = 1 + next(turns) % HASH_FOLDS
    for members in groups_of.values():
        if len({fold_of[group] for group in members}) == 1:
            fold_of[_by_hash(members, seed)[0]] = None
    return fold_of


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
    return sorted(groups, key=lambda group: text_digest(f"{seed}:{group}"))


def _check_columns(examples: Sequence[Example], groups: Sequence[str], folds: ColumnFolds) -> None:
    problems = [*crossings(examples, groups, folds), *untrained(examples, folds)]
    if problems:
        raise SplitError(f"{problems[0].line}; correct the column, or leave such rows out")


def _nothing_validates(examples: Sequence[Example], choice: SplitChoice) -> SplitError:
    if choice.fold is None:
        return SplitError("no row has val in its column split; give it to some, or drop the column")
    numbers = sorted({example.fold for example in examples if example.fold is not None})
    if not numbers:
        return SplitError(
            f"fold {choice.fold} cannot validate: the labels have no fold column; add one"
        )
    return SplitError(
        f"no example is in fold {choice.fold}; choose one of: {', '.join(map(str, numbers))}"
    )


def _split(n_examples: int, validates: set[int], description: str) -> Split:
    train = tuple(at for at in range(n_examples) if at not in validates)
    return Split(train, tuple(sorted(validates)), description)


@dataclass(frozen=True)
class ColumnFolds:
    """For each example the fold in which it validates, None where it always trains.

    `column` says which column decides, by our name.
    """

    column: str
    fold_of: tuple[int | None, ...]


def crossings(
    examples: Sequence[Example], groups: Sequence[str], folds: ColumnFolds
) -> list[LabelProblem]:
    """A problem for each example that a column separates from relatives that validate.

    A network trained on one half of a recording recognises the other half. What stays is the side
    that validates; with several folds, the one that most of the relatives are in (of several such
    folds the lowest number).
    """
    problems = []
    for positions in _positions(groups):
        numbers = [number for at in positions if (number := folds.fold_of[at]) is not None]
        stays = min(multimode(numbers), default=None)
        kept = [examples[at] for at in positions if folds.fold_of[at] == stays]
        problems += [
            LabelProblem((at,), _crossing(examples[at], kept, folds.column))
            for at in positions
            if folds.fold_of[at] != stays
        ]
    return sorted(problems, key=lambda problem: problem.positions)


def untrained(examples: Sequence[Example], folds: ColumnFolds) -> list[LabelProblem]:
    """A problem for each label of which nothing is left to train on when it validates."""
    problems = []
    for label, positions in _of_labels(examples).items():
        folds_of_label = {folds.fold_of[at] for at in positions}
        if len(folds_of_label) == 1 and None not in folds_of_label:
            first = examples[positions[0]]
            line = (
                f"{first.spot('label')}: {label!r} has nothing left to train on: "
                f"all of it validates ({_side(first, folds.column)})"
            )
            problems.append(LabelProblem(tuple(positions), line))
    return problems


def too_few(examples: Sequence[Example], groups: Sequence[str]) -> list[LabelProblem]:
    """A problem for each label with a single group, which cannot both train and validate."""
    problems = []
    for label, positions in _of_labels(examples).items():
        if len({groups[at] for at in positions}) == 1:
            first = examples[positions[0]]
            n = len(positions)
            has = "one file only" if n == 1 else f"{n} files of one group only"
            line = (
                f"{first.spot('label')}: {label!r} has {has}, so that none can validate; "
                "add another, or train without validation by --val-fraction 0"
            )
            problems.append(LabelProblem(tuple(positions), line))
    return problems


def _of_labels(examples: Sequence[Example]) -> Mapping[str, list[int]]:
    """Where each label stands."""
    found: dict[str, list[int]] = defaultdict(list)
    for at, example in enumerate(examples):
        for label in example.labels:
            found[label].append(at)
    return found


def _positions(keys: Sequence[str]) -> list[list[int]]:
    """Where each key stands."""
    found: dict[str, list[int]] = defaultdict(list)
    for at, key in enumerate(keys):
        found[key].append(at)
    return list(found.values())


def _crossing(example: Example, kept: Sequence[Example], column: str) -> str:
    relatives = [other for other in kept if other.group == example.group]
    other = (relatives or kept)[0]
    if not relatives:
        relation = "whose group holds the same sound"
    elif other.grouped:
        relation = f"of the same group {other.group!r}"
    else:
        relation = "of the same file"
    return (
        f"{example.spot(column)}: {_side(example, column)}, "
        f"but {other.name}, {relation}, is {_side(other, column)}"
    )


def _side(example: Example, column: str) -> str:
    if column == "split":
        return str(example.split)
    return "without a fold" if example.fold is None else f"in fold {example.fold}"
