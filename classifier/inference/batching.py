"""How many clips go through a network at once, where memory may run short."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from classifier.inference.device import is_out_of_memory

Clips = Sequence[npt.NDArray[np.float32]] | npt.NDArray[np.float32]

CALM_PASSES = 50  # without trouble, before twice as many clips are tried again


class BatchSizer:
    """Takes batches apart into portions of at most `most` clips.

    A portion for which the device has no memory is halved and tried again. What had to be halved
    climbs back by doubling: whoever took the memory may be gone.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._calm_passes = 0
        self.at_once = most

    def run(self, work: Callable[[Clips], Tensor], clips: Clips) -> Tensor:
        """B clips (S,) to (B, ...), `work` done portion by portion.

        Raises what `work` raises, also for want of memory where one clip is too many.
        """
        done: list[Tensor] = []
        n_done = 0
        while n_done < len(clips):
            portion = clips[n_done : n_done + self.at_once]
            try:
                done.append(work(portion))
            except (MemoryError, RuntimeError) as error:
                if len(portion) == 1 or not is_out_of_memory(error):
                    raise
                self.at_once, self._calm_passes = len(portion) // 2, 0
                torch.cuda.empty_cache()  # what is free in pieces may be enough in one
                continue
            n_done += len(portion)
            self._calm_passes += 1
            if self._calm_passes >= CALM_PASSES and self.at_once < self._most:
                self.at_once, self._calm_passes = min(self._most, 2 * self.at_once), 0
        return torch.cat(done)
