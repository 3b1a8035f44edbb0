"""What the loop measures of itself: the seconds of its stages, and its batches."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class StageTimers:
    """Since the start. Decoding goes on in other processes and has no stage here."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._clips = 0
        self._batches = 0
        self._last_batch_clips = 0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds what the body takes to this stage, also where it raises."""
        began = self._clock()
        try:
            yield
        finally:
            self._seconds[name] += self._clock() - began

    def note_scored(self, clips: int) -> None:
        """So many clips have been scored in all; what came since the last call is a batch."""
        if clips > self._clips:
            self._batches += 1
            self._last_batch_clips, self._clips = clips - self._clips, clips

    @property
    def told(self) -> dict[str, object]:
        return {
            "stage_seconds": {name: round(value, 6) for name, value in self._seconds.items()},
            "batches": self._batches,
            "last_batch_clips": self._last_batch_clips,
            "clips_scored": self._clips,
        }
