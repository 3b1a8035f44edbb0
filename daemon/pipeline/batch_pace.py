"""How many clips go to the network at once, so that a batch never takes long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# Between two batches the daemon says that it lives, sees a stop, and takes new files in. A batch
# as large as a GPU's would take a large network minutes on a small processor.
BATCH_SECONDS = 5.0
UNTRIED_CLIPS = 32  # of a checkpoint whose pace nobody knows


@dataclass(eq=False)
class BatchPace:
    """How long the network of the checkpoint that was served last takes for a clip."""

    clock: Callable[[], float] = time.monotonic
    _checkpoint_id: int | None = None
    _clip_seconds: float = 0.0

    def max_clips(self, checkpoint_id: int) -> int:
        """Clips that take BATCH_SECONDS at the pace of those before them."""
        if checkpoint_id != self._checkpoint_id:
            return UNTRIED_CLIPS
        return max(1, int(BATCH_SECONDS / max(self._clip_seconds, 1e-6)))

    @contextmanager
    def timed(self, checkpoint_id: int, n_clips: int) -> Iterator[None]:
        """Around the scoring of `n_clips`."""
        began = self.clock()
        yield
        self._clip_seconds = (self.clock() - began) / n_clips
        self._checkpoint_id = checkpoint_id
