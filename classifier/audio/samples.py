"""Blocks of samples: their mean over channels, and their level.

0 dBFS is the largest sample that the file can hold; a full-scale square wave has an RMS of 0 dBFS
(not the 3 dB more of AES17, by which a sine has). Peak and clipping are of all channels, the RMS
is of their mean, which is what the network gets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from classifier.errors import DecodingError

Samples = npt.NDArray[np.float32]

BLOCK_SAMPLES = 2**18  # over all channels, read at once: 2 MiB where they are widest
MAX_LEVEL = 2.0**32  # integer samples of 32 bits, stored as float without being scaled
FLOOR_DBFS = -150.0  # below the last bit of 24; digital silence has no logarithm
CLIPPED = 1 - 2.0**-14  # of full scale: the last two steps of 16 bits


def mix(block: npt.NDArray[np.number], mono: Samples) -> None:
    """(N, channels) of any type, each sample rounded to float32, to their mean in `mono` (N,).

    For up to two channels without numpy's `mean`, which takes 20 times as long for the same.
    """
    n_channels = block.shape[1]
    with np.errstate(over="ignore", invalid="ignore"):
        if n_channels > 2:
            block.astype(np.float32, copy=False).mean(axis=1, out=mono)
            return
        mono[:] = block[:, 0]
        if n_channels == 2:
            np.add(mono, block[:, 1], out=mono, dtype=np.float32, casting="unsafe")
            mono *= 0.5


def check_level(mono: Samples) -> None:
    """Raises DecodingError where samples are no numbers, or far beyond what a file may hold."""
    if not len(mono) or (mono.min() >= -MAX_LEVEL and mono.max() <= MAX_LEVEL):
        return  # NaN is neither
    raise DecodingError(
        "not_finite",
        "holds samples that are no numbers (NaN, infinity or beyond any scale); export it again",
    )


@dataclass
class Levels:
    """Adds up over blocks of a recording, and over its segments."""

    peak: float = 0.0
    squares: float = 0.0
    n_frames: int = 0
    n_clipped: int = 0
    n_samples: int = 0

    def add(self, block: npt.NDArray[np.number], scale: float, mono: Samples) -> None:
        """`block` of any shape, whose samples times `scale` are of full scale 1, and their mean."""
        if not block.size:
            return
        peak = max(-float(block.min()), float(block.max())) * scale
        self.peak = max(self.peak, peak)
        if peak >= CLIPPED:
            limit = CLIPPED / scale
            self.n_clipped += int(np.count_nonzero((block >= limit) | (block <= -limit)))
        self.squares += float(np.dot(mono, mono))
        self.n_frames += len(mono)
        self.n_samples += block.size

    def join(self, other: Levels) -> None:
        self.peak = max(self.peak, other.peak)
        self.squares += other.squares
        self.n_frames += other.n_frames
        self.n_clipped += other.n_clipped
        self.n_samples += other.n_samples

    @property
    def peak_dbfs(self) -> float:
        return _decibels(self.peak)

    @property
    def rms_dbfs(self) -> float:
        return _decibels(math.sqrt(self.squares / self.n_frames)) if self.n_frames else FLOOR_DBFS

    @property
    def clipped(self) -> float:
        """Share of the samples, 0 to 1."""
        return self.n_clipped / self.n_samples if self.n_samples else 0.0


def _decibels(amplitude: float) -> float:
    if not amplitude > 0:
        return FLOOR_DBFS
    return round(max(FLOOR_DBFS, 20 * math.log10(amplitude)), 2)
