"""The seconds that the loop spends in its stages."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from daemon.monitoring.component import Component


class StageTimers(Component):
    """Since the start. Decoding goes on in other processes and has no stage here."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def measure(self, stage: str | None) -> Iterator[None]:
        """Adds what the body takes to this stage, also where it raises; None is not counted."""
        began = self._clock()
        try:
            yield
        finally:
            if stage is not None:
                self._seconds[stage] += self._clock() - began

    def figures(self) -> Mapping[str, object]:
        return {"stage_seconds": {name: round(value, 6) for name, value in self._seconds.items()}}
