"""How many clips are scored in one go: as many as are done in a few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Between two batches the daemon says that it lives, sees a stop, and takes new files in. A batch
# as large as a GPU's would take a large network minutes on a small processor.
BATCH_SECONDS = 5.0
UNTRIED_CLIPS = 32  # of a checkpoint whose pace nobody knows


class Pace:
    """Of the checkpoint that was served last."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._checkpoint_id: int | None = None
        self._clip_seconds = 0.0

    def most_clips(self, checkpoint_id: int) -> int:
        """That are over after BATCH_SECONDS, if they take what those before them took."""
        if checkpoint_id != self._checkpoint_id:
            return UNTRIED_CLIPS
        return max(1, int(BATCH_SECONDS / max(self._clip_seconds, 1e-6)))

    @contextmanager
    def timed(self, checkpoint_id: int, n_clips: int) -> Iterator[None]:
        """Around the scoring of so many clips."""
        began = self._clock()
        yield
        self._clip_seconds = (self._clock() - began) / n_clips
        self._checkpoint_id = checkpoint_id
