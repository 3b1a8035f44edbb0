"""Decoded clips for training: in memory, else in a memory-mapped file.

Axes: N clips, S samples.
"""

from __future__ import annotations

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

    The file vanishes with the process, however that ends. Without a folder there is no limit. Where
    several processes are to hold the same clips, there is no file for them either.
    """

    clip_samples: int
    limit_bytes: int = 0
    folder: Path | None = None
    processes: int = 1
    n_clips: int = field(default=0, init=False)
    is_mapped: bool = field(default=False, init=False)
    _parts: list[Clips] = field(default_factory=list, init=False)
    _file: IO[bytes] | None = field(default=None, init=False)

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
        if self.folder and (self.is_mapped or self.n_bytes > self.limit_bytes):
            if self.processes > 1:
                raise TrainerError(
                    f"the clips do not fit into memory {self.processes} times; raise "
                    "training.memory_gib, or train in one process, which can read them from a file"
                )
            self._write()

    def tensor(self) -> Tensor:
        """(N, S) int16, in the order of arrival; nothing can be appended afterwards."""
        shape = self.n_clips, self.clip_samples
        if self._file is not None and self.n_clips:
            with self._file:  # the map outlives it
                return torch.from_numpy(np.memmap(self._file, np.int16, "r+", shape=shape))
        samples, begin = np.empty(shape, np.int16), 0
        while self._parts:  # taken one by one, so that there are never two copies of all
            part = self._parts.pop(0)
            samples[begin : begin + len(part)] = part
            begin += len(part)
        return torch.from_numpy(samples)

    def _write(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115
                self.is_mapped = True
            for part in self._parts:
                self._file.write(part.tobytes())
            self._file.flush()
        except OSError as error:
            raise TrainerError(
                f"no room for {self.n_bytes / 1e9:.1f} GB of clips in {self.folder} "
                f"({error.strerror}); free space there, raise training.memory_gib, or train on "
                "fewer files"
            ) from error
        self._parts.clear()


def available_bytes(device: torch.device) -> int:
    """Free memory of the device, or what other programs leave of the machine's."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available
