"""Wilson's interval is scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from storage.review.wilson import BOUND, INTERVAL, wilson_interval


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (9, 10), (50, 50), (400, 1000)])
@pytest.mark.parametrize("z", [BOUND, INTERVAL])
def test_the_interval_is_wilsons(hits: int, n: int, z: float) -> None:
    level = norm.cdf(z) - norm.cdf(-z)
    expected = binomtest(hits, n).proportion_ci(level, "wilson")
    assert wilson_interval(hits, n, z) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_many_shares_are_judged_at_once() -> None:
    low, high = wilson_interval(np.array([1, 9]), np.array([2, 10]))
    assert (low[1], high[1]) == pytest.approx(wilson_interval(9, 10))
