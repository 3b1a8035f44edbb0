"""Decoded clips for training: in memory, which processes may share, else in a memory-mapped file.

Axes: N clips, S samples.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import psutil
import torch
from torch import Tensor

from trainer.errors import TrainerError

GIB = 2**30
Clips = npt.NDArray[np.int16]


@dataclass
class ClipCache:
    """Grows clip by clip; beyond `limit_bytes` all of it moves into a nameless file in `folder`.

    The file vanishes with the process, however that ends. Without a folder there is no limit. What
    `is_shared` lies in a file from the start, one in memory: others can map it while it is open.
    """

    clip_samples: int
    limit_bytes: int = 0
    folder: Path | None = None
    is_shared: bool = False
    n_clips: int = field(default=0, init=False)
    is_mapped: bool = field(default=False, init=False)
    _parts: list[Clips] = field(default_factory=list, init=False)
    file: IO[bytes] | None = field(default=None, init=False)

    @property
    def notice(self) -> str | None:
        """A line for a person where the clips are not in memory."""
        if not self.is_mapped:
            return None
        return (
            f"{self.n_bytes / GIB:.1f} GiB of clips do not fit into {self.limit_bytes / GIB:.1f} "
            f"GiB of memory: they are read from a file in {self.folder}, which is slower "
            "(training.memory_gib)"
        )

    @property
    def n_bytes(self) -> int:
        return 2 * self.n_clips * self.clip_samples

    def append(self, clips: Clips) -> None:
        """Adds clips (C, S). Raises TrainerError where there is no room for them."""
        self.n_clips += len(clips)
        self._parts.append(clips)
        exceeds_limit = self.folder and self.n_bytes > self.limit_bytes
        if exceeds_limit or self.is_mapped or self.is_shared:
            self._write(self.is_mapped or bool(exceeds_limit))

    def tensor(self) -> Tensor:
        """(N, S) int16, in the order of arrival; nothing can be appended afterwards."""
        shape = self.n_clips, self.clip_samples
        if self.file is not None and self.n_clips:
            clips = map_clips(self.file, shape)
            if not self.is_shared:
                self.file.close()  # the map outlives it
            return clips
        samples, begin = np.empty(shape, np.int16), 0
        while self._parts:  # taken one by one, so that there are never two copies of all
            part = self._parts.pop(0)
            samples[begin : begin + len(part)] = part
            begin += len(part)
        return torch.from_numpy(samples)

    def _write(self, to_disk: bool) -> None:
        try:
            if self.file is None and not to_disk:
                self.file = open(os.memfd_create("clfd-clips"), "w+b")  # noqa: SIM115
            elif to_disk and not self.is_mapped:
                self._move_to_disk()
            assert self.file is not None
            for part in self._parts:
                self.file.write(part.tobytes())
            self.file.flush()
        except OSError as error:
            raise TrainerError(
                f"no room for {self.n_bytes / 1e9:.1f} GB of clips in {self.folder} "
                f"({error.strerror}); free space there, raise training.memory_gib, or train on "
                "fewer files"
            ) from error
        self._parts.clear()

    def _move_to_disk(self) -> None:
        in_memory, self.file = self.file, tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115
        self.is_mapped = True
        if in_memory is not None:
            with in_memory:
                in_memory.seek(0)
                shutil.copyfileobj(in_memory, self.file)


def new_cache(
    clip_samples: int, memory_gib: float, folder: Path, is_shared: bool = False
) -> ClipCache:
    """With the limit of `training.memory_gib`, whose 0 is half of the free memory."""
    n_bytes = int(memory_gib * GIB) or available_bytes(torch.device("cpu")) // 2
    return ClipCache(clip_samples, n_bytes, folder, is_shared)


def map_clips(file: IO[bytes], shape: tuple[int, int]) -> Tensor:
    """The clips (N, S) that a file holds, as memory of all processes that map it."""
    return torch.from_numpy(np.memmap(file, np.int16, "r+", shape=shape))


def available_bytes(device: torch.device) -> int:
    """Free memory of the device, or what other programs leave of the machine's."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available
