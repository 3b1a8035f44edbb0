"""When two labelled parts of one content hold the same sound: one rule, for exports and training.

A part is its start and end in seconds; an end that is not known is infinite.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from storage.values.clip_scores import LabelledPart

Part = tuple[float, float]

# The share of the shorter part: selections of neighbouring sounds may touch.
_MIN_SHARE = 0.5


def is_same_sound(one: Part, other: Part) -> bool:
    """Whether two parts of one content share half of the shorter one or more."""
    shared = min(one[1], other[1]) - max(one[0], other[0])
    return shared >= _MIN_SHARE * min(one[1] - one[0], other[1] - other[0])


def same_sounds(parts: Sequence[Part]) -> dict[Part, list[Part]]:
    """For each part of one content those with the same sound, itself among them.

    The parts are distinct and ascending, so that only neighbours are compared.
    """
    same = {part: [part] for part in parts}
    for position, one in enumerate(parts):
        for at in range(position + 1, len(parts)):  # no slice: it would be copied for each part
            other = parts[at]
            if other[0] >= one[1]:
                break
            if is_same_sound(one, other):
                same[one].append(other)
                same[other].append(one)
    return same


def labelled_within(
    parts: Iterable[Part], labelled: Sequence[LabelledPart]
) -> Iterator[LabelledPart | None]:
    """For each part the label of the same sound; of several that of the shortest.

    Both ascend by their starts, so that only neighbours are compared.
    """
    near: list[LabelledPart] = []
    coming = deque(labelled)
    for part in parts:
        while coming and coming[0].start_s < part[1]:
            near.append(coming.popleft())
        near = [one for one in near if one.end_s > part[0]]
        same = [one for one in near if is_same_sound(part, one.span)]
        yield min(same, key=lambda one: one.end_s - one.start_s, default=None)
