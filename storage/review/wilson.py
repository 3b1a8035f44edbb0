"""How sure a share is: Wilson's interval of hits among tries.

Wilson, "Probable inference, the law of succession, and statistical inference" (1927). Works for
numbers and for arrays of numpy alike.
"""

from __future__ import annotations

from typing import Any

# Standard deviations: a bound that holds in five cases of six, and an interval of 95 %.
BOUND, INTERVAL = 1.0, 1.96


def wilson_interval(hits: Any, n: Any, z: float = INTERVAL) -> tuple[Any, Any]:
    """The ends of the interval; `n` is not zero."""
    share = hits / n
    spread = z * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    middle, width = share + z**2 / (2 * n), 1 + z**2 / n
    return (middle - spread) / width, (middle + spread) / width
