"""Clips as batches: how they are put together, and how many go through a network at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from classifier.inference.device import is_out_of_memory
from classifier.model.checkpoint import Checkpoint
from classifier.model.classifier import Task

Scores = npt.NDArray[np.float32]
Clips = Sequence[npt.NDArray[np.float32]] | npt.NDArray[np.float32]

# Of the widest feature map of one pass on a CPU. More leaves the caches: the reference's network
# takes 139 ms a clip for 32 clips at once (1.8 GB), 103 ms one by one; one of a quarter of its
# width and half its bands is fastest at 8 (two cores of AMD EPYC).
CPU_MAP_BYTES = 16 * 2**20
GPU_CLIPS = 4096  # as many as there are

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


def clips_at_once(checkpoint: Checkpoint, device: torch.device, bytes_per_cell: int) -> int:
    """On a CPU as many clips as make feature maps of CPU_MAP_BYTES, as a power of two.

    A full batch then goes in portions of one size, for which a network can be compiled.
    """
    if device.type != "cpu":
        return GPU_CLIPS
    audio, network = checkpoint.audio_format, checkpoint.description.network
    first, second, *_ = network.widths
    channels = max(first, second // 4 if network.early_pooling else second)
    fitting = CPU_MAP_BYTES // (channels * audio.n_mels * audio.n_frames * bytes_per_cell)
    return 1 << max(0, fitting.bit_length() - 1)


def stack_clips(clips: Clips, device: torch.device) -> Tensor:
    """B clips (S,) as one batch (B, S) on the device.

    A GPU fetches each from where it lies, and from pinned memory by itself: 3.3 ms for 256 clips of
    5 s, against 37 ms where they are put together first (H200).
    """
    if device.type == "cpu":
        return torch.from_numpy(np.asarray(clips))
    batch = torch.empty(len(clips), len(clips[0]), device=device)
    # In one call: with one for each clip, other threads of Python would come in between.
    torch._foreach_copy_(list(batch), [torch.from_numpy(clip) for clip in clips], True)
    return batch


def pool_scores(clip_scores: Scores, pooling: str, task: Task = "single") -> Scores:
    """Clip scores (C, L) to a recording's scores (L,): their mean, or their maximum.

    Of a single task the maximum is rescaled, so that the scores are shares.
    """
    if len(clip_scores) == 1:
        return clip_scores[0]  # type: ignore[no-any-return]
    if pooling == "mean":
        return clip_scores.mean(axis=0)  # type: ignore[no-any-return]
    peaks = clip_scores.max(axis=0)
    return peaks if task == "multi" else peaks / peaks.sum()  # type: ignore[no-any-return]
