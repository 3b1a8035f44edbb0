"""When two labelled parts of one content hold the same sound."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.labels.overlap import Part, is_same_sound, same_sounds


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ((0.0, 4.0), (2.0, 6.0), True),
        ((0.0, 4.0), (2.1, 6.0), False),
        ((0.0, 60.0), (10.0, 11.0), True),
        ((0.0, 4.0), (4.0, 8.0), False),
        ((0.0, math.inf), (50.0, 51.0), True),
        ((0.0, math.inf), (50.0, math.inf), True),
    ],
)
def test_parts_that_share_half_of_the_shorter_one_are_the_same_sound(
    one: Part, other: Part, is_same: bool
) -> None:
    assert is_same_sound(one, other) is is_same
    assert is_same_sound(other, one) is is_same


part = st.tuples(st.integers(0, 20), st.integers(1, 10)).map(lambda p: (p[0], p[0] + p[1]))


@given(st.sets(part, max_size=8))
def test_each_pair_of_parts_is_compared(parts: set[Part]) -> None:
    ascending = sorted(parts)
    same = same_sounds(ascending)
    for one, other in combinations(ascending, 2):
        assert (other in same[one]) is (one in same[other]) is is_same_sound(one, other)
