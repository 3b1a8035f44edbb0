"""What people judged of some clips, and the threshold that it gives for all."""

from __future__ import annotations

from collections import Counter

import pytest

from storage.review.verification import Judgement, threshold_for

EVEN = Counter(dict.fromkeys(range(10), 100))


def judged(*shares: tuple[float, int, int]) -> list[Judgement]:
    """Of each confidence so many right of so many."""
    return [(confidence, at < right) for confidence, right, n in shares for at in range(n)]


def test_the_threshold_lies_where_the_wanted_share_is_right() -> None:
    found = threshold_for(judged((0.95, 50, 50), (0.75, 48, 50), (0.45, 10, 50)), EVEN, 0.9)
    assert found.threshold == 0.75
    assert found.precision == pytest.approx(0.98)
    assert 0.9 <= (found.precision_low or 0) < 0.98


def test_few_judgements_prove_no_threshold() -> None:
    found = threshold_for(judged((0.95, 3, 3)), EVEN, 0.9)
    assert (found.threshold, found.right) == (None, 1.0)
    assert found.low is not None and found.low < 0.5


def test_nothing_judged_says_nothing() -> None:
    found = threshold_for([], EVEN, 0.9)
    assert (found.n_judged, found.right, found.threshold) == (0, None, None)


def test_a_share_is_that_of_all_answers_and_not_of_those_that_were_judged() -> None:
    n_answers = Counter({9: 900, 1: 100})
    found = threshold_for(judged((0.95, 10, 10), (0.15, 0, 10)), n_answers, 0.9)
    assert found.right == pytest.approx(0.9)


def test_the_interval_widens_where_the_weights_differ() -> None:
    even = threshold_for(judged((0.95, 9, 10), (0.15, 9, 10)), Counter({9: 10, 1: 10}), 0.9)
    skewed = threshold_for(judged((0.95, 9, 10), (0.15, 9, 10)), Counter({9: 1000, 1: 10}), 0.9)
    width = (even.high or 0) - (even.low or 0)
    assert (skewed.high or 0) - (skewed.low or 0) > width
