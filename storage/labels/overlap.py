"""When two labelled parts of one content hold the same sound: one rule, for exports and training.

A part is its start and end in seconds; an end that is not known is infinite.
"""

from __future__ import annotations

from collections.abc import Sequence

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
