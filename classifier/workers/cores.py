"""How much of the machine there is for this process."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Cores that it may run on; under `taskset` or in a container fewer than there are."""
    return len(os.sched_getaffinity(0))
