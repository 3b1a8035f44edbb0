"""What a fold or split column asks for, and which rows cannot have it so.

A *round* is one training with its validation; with folds there are several.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from trainer.data.problem import Fault

if TYPE_CHECKING:
    from trainer.data.labels import Example

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Rounds:
    """For each example the round in which it validates, None where it always trains.

    `column` says which column decides, by our name.
    """

    column: str
    of: tuple[int | None, ...]


def crossings(examples: Sequence[Example], groups: Sequence[str], rounds: Rounds) -> list[Fault]:
    """A fault for each example that a column puts apart from relatives that validate.

    A network that has heard one half of a recording answers for the other by heart. What stays is
    the side that validates; with several folds, the one that most of the relatives are in.
    """
    faults = []
    for positions in _positions(groups).values():
        stays = _most_common([rounds.of[at] for at in positions])
        kept = [at for at in positions if rounds.of[at] == stays]
        faults += [
            Fault((at,), _crossing(examples[at], [examples[one] for one in kept], rounds.column))
            for at in positions
            if rounds.of[at] != stays
        ]
    return sorted(faults, key=lambda fault: fault.positions)


def untrained(examples: Sequence[Example], rounds: Rounds) -> list[Fault]:
    """A fault for each label of which nothing is left to train on when it validates."""
    faults = []
    for positions in _positions([example.label for example in examples]).values():
        in_rounds = {rounds.of[at] for at in positions}
        if len(in_rounds) == 1 and None not in in_rounds:
            first = examples[positions[0]]
            side = f"all of it validates ({_side(first, rounds.column)})"
            reason = f"{first.label!r} has nothing left to train on: {side}"
            faults.append(Fault(tuple(positions), f"{first.spot('label')}: {reason}"))
    return faults


def too_few(examples: Sequence[Example], groups: Sequence[str]) -> list[Fault]:
    """A fault for each label with a single group, which cannot both train and validate."""
    faults = []
    for positions in _positions([example.label for example in examples]).values():
        if len({groups[at] for at in positions}) == 1:
            first = examples[positions[0]]
            reason = f"{first.label!r} has {_one_group(len(positions))}, so that none can validate"
            remedy = "add another, or train without validation by --val-fraction 0"
            faults.append(Fault(tuple(positions), f"{first.spot('label')}: {reason}; {remedy}"))
    return faults


def _positions(keys: Sequence[Key]) -> Mapping[Key, list[int]]:
    found: dict[Key, list[int]] = defaultdict(list)
    for at, key in enumerate(keys):
        found[key].append(at)
    return found


def _most_common(rounds: Sequence[int | None]) -> int | None:
    """Of those that validate, the first in the order of numbers where several are as common."""
    held = Counter(number for number in rounds if number is not None)
    return max(sorted(held), key=lambda number: held[number], default=None)


def _crossing(example: Example, kept: Sequence[Example], column: str) -> str:
    relatives = [other for other in kept if other.group == example.group]
    other = (relatives or kept)[0]
    if not relatives:
        kin = "whose group holds the same sound"
    elif other.grouped:
        kin = f"of the same group {other.group!r}"
    else:
        kin = "of the same file"
    return (
        f"{example.spot(column)}: {_side(example, column)}, "
        f"but {other.name}, {kin}, is {_side(other, column)}"
    )


def _side(example: Example, column: str) -> str:
    if column == "split":
        return str(example.split)
    return "without a fold" if example.fold is None else f"in fold {example.fold}"


def _one_group(n_examples: int) -> str:
    return "one file only" if n_examples == 1 else f"{n_examples} files of one group only"
