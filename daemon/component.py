"""What the loop asks of each of its parts, and how their status becomes one."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import ClassVar


class Component:
    """A part of the daemon. It overrides what it has something to say to.

    `stage` is the name under which the seconds of its steps are counted; without one they are not.
    """

    stage: ClassVar[str | None] = None
    fault: str | None = None  # what is wrong now, a sentence

    def step(self, now: float) -> None:
        """Its turn in a tick, at `now` on the monotonic clock; short. May raise LedgerUnavailable,
        and is called again then.
        """

    def status(self) -> Mapping[str, object]:
        """Its keys of the status."""
        return {}

    def figures(self) -> Mapping[str, object]:
        """What it counted since the start, for `figures` in the status."""
        return {}

    def faults(self) -> Sequence[str]:
        """All that is wrong now."""
        return [] if self.fault is None else [self.fault]


class StageTimers(Component):
    """The seconds that the loop spent in its stages since the start, and scoring beside it.

    Decoding goes on in other processes and has no stage here.
    """

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
                self.add(stage, self._clock() - began)

    def add(self, stage: str, seconds: float) -> None:
        self._seconds[stage] += seconds

    def figures(self) -> Mapping[str, object]:
        return {"stage_seconds": {name: round(value, 6) for name, value in self._seconds.items()}}


def merged_status(components: Iterable[Component]) -> dict[str, object]:
    """One flat mapping, with the figures of all in `figures` and their faults in `faults`."""
    parts = list(components)
    merged: dict[str, object] = {}
    figures: dict[str, object] = {}
    for part in parts:
        merged |= part.status()
        figures |= part.figures()
    return {**merged, "figures": figures, "faults": [f for part in parts for f in part.faults()]}
