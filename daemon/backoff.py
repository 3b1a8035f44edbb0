"""How long to wait after a try that failed."""

from __future__ import annotations

from collections.abc import Sequence

# For files and disks: a mount may be back in seconds, a full disk takes somebody's attention.
WAITS_SECONDS = (5.0, 60.0, 600.0)


def wait_seconds(n_failures: int, waits: Sequence[float] = WAITS_SECONDS) -> float:
    """After `n_failures` in a row, 1 or more; beyond the table its last wait is used."""
    return waits[min(n_failures, len(waits)) - 1]
