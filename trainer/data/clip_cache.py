"""Decoded clips for training: in memory, else in a memory-mapped file.

Axes: N clips, S samples.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainer.errors import TrainerError

GIB = 2**30
Clips = npt.NDArray[np.int16]


class ClipCache:
    """Grows clip by clip; beyond `limit_bytes` all of it moves into a nameless file in `folder`.

    The file vanishes with the process, however that ends. Without a folder there is no limit. Where
    several processes are to hold the same clips, there is no file for them either.
    """

    def __init__(
        self,
        clip_samples: int,
        limit_bytes: int = 0,
        folder: Path | None = None,
        processes: int = 1,
    ) -> None:
        self._clip_samples = clip_samples
        self._limit_bytes = limit_bytes
        self._folder = folder
        self._processes = processes
        self._parts: list[Clips] = []
        self._file: IO[bytes] | None = None
        self.n_clips = 0
        self.is_mapped = False

    @classmethod
    def within(
        cls, clip_samples: int, memory_gib: float, folder: Path, processes: int = 1
    ) -> ClipCache:
        """A cache within this much memory (0: half of what is free), for all `processes`."""
        memory = int(memory_gib * GIB) or available_bytes(torch.device("cpu")) // 2
        return cls(clip_samples, memory // processes, folder, processes)

    @property
    def notice(self) -> str | None:
        """A line for a person where the clips are not in memory."""
        if not self.is_mapped:
            return None
        return (
            f"{self.n_bytes / GIB:.1f} GiB of clips do not fit into {self._limit_bytes / GIB:.1f} "
            f"GiB of memory: they are read from a file in {self._folder}, which is slower "
            "(training.memory_gib)"
        )

    @property
    def n_bytes(self) -> int:
        return 2 * self.n_clips * self._clip_samples

    def append(self, clips: Clips) -> None:
        """Adds clips (C, S). Raises TrainerError where there is no room for them."""
        self.n_clips += len(clips)
        self._parts.append(clips)
        if self._folder and (self.is_mapped or self.n_bytes > self._limit_bytes):
            self._refuse_to_share()
            self._write()

    def tensor(self) -> Tensor:
        """(N, S) int16, in the order of arrival; nothing can be appended afterwards."""
        shape = self.n_clips, self._clip_samples
        if self._file is not None and self.n_clips:
            with self._file:  # the map outlives it
                return torch.from_numpy(np.memmap(self._file, np.int16, "r+", shape=shape))
        samples = torch.empty(shape, dtype=torch.int16)
        begin = 0
        while self._parts:  # taken one by one, so that there are never two copies of all
            part = torch.from_numpy(self._parts.pop(0))
            samples[begin : begin + len(part)] = part
            begin += len(part)
        return samples

    def _refuse_to_share(self) -> None:
        if self._processes > 1:
            raise TrainerError(
                f"the clips do not fit into memory {self._processes} times; raise "
                "training.memory_gib, or train in one process, which can read them from a file"
            )

    def _write(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
                self.is_mapped = True
            for part in self._parts:
                self._file.write(part.tobytes())
            self._file.flush()
        except OSError as error:
            raise TrainerError(
                f"no room for {self.n_bytes / 1e9:.1f} GB of clips in {self._folder} "
                f"({error.strerror}); free space there, raise training.memory_gib, or train on "
                "fewer files"
            ) from error
        self._parts.clear()


def available_bytes(device: torch.device) -> int:
    """Free memory of the device, or what other programs leave of the machine's."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvail"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
