"""Blocks of samples: one channel made of them, their level, and what is odd about them.

0 dBFS is the largest sample that the file can hold; a full-scale square wave has an RMS of 0 dBFS
(not the 3 dB more of AES17, by which a sine has). Peak and clipping are of all channels, the RMS
is of what the network gets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from classifier.errors import DecodingError

Samples = npt.NDArray[np.float32]
Block = npt.NDArray[np.number]  # (N, channels), as numbers around zero
Channel = Literal["mean", "loudest"] | int  # a number counts from 1
Sums = tuple[tuple[float, float], ...]  # of samples, and of their squares

BLOCK_SAMPLES = 2**18  # over all channels, read at once: 2 MiB where they are widest
MAX_LEVEL = 2.0**32  # integer samples of 32 bits, stored as float without being scaled
FLOOR_DBFS = -150.0  # below the last bit of 24; digital silence has no logarithm
CLIPPED = 1 - 2.0**-14  # of full scale: the last two steps of 16 bits
CANCELLED = 1e-2  # of the power of the loudest channel that the mean keeps at least: 20 dB
ALIKE = 0.99  # of the power of the loudest channel: 0.04 dB
DEAD = 1e-6  # of the power of the loudest channel: 60 dB, the noise of an open input
ROUNDING = 2e-6  # of a channel's squares: what sums in float32 leave of a constant offset
UNSCALED = 2.0**7  # of full scale: no float recording is 42 dB above it
MAX_DBFS = 24.0  # above full scale; the headroom of float recorders is used up to there
BITS = (16, 24, 32)
_PAIRED = np.dtype("<i2")
_ONES = np.ones(1024, np.float32)


@dataclass(frozen=True)
class Mix:
    """How channels become one, and samples of full scale 1.

    `channel` counts from 0; without one they are averaged, and so they are where a file has not as
    many. With `bits` float samples are on the scale of such integers. `cancels` is why a channel
    takes the place of the mean.
    """

    channel: int | None = None
    bits: int = 0
    cancels: bool = False

    @property
    def scale(self) -> float:
        return 2.0 ** (1 - self.bits) if self.bits else 1.0


def first_mix(choice: Channel) -> Mix:
    """Before anything of the sound is known."""
    return Mix(choice - 1) if isinstance(choice, int) else Mix()


def better_mix(choice: Channel, level: Levels) -> Mix:
    """The one that fits the sound, whose level under any mix is known."""
    mix = replace(first_mix(choice), bits=level.bits or level.mix.bits)
    if choice == "loudest" or (choice == "mean" and level.cancels):
        mix = replace(mix, channel=level.loudest, cancels=choice == "mean")
    return mix


def integer_bits(blocks: Sequence[Block]) -> int:
    """Of the integers that float samples were made of without being scaled; 0 where they were."""
    peak = max((float(np.abs(block).max(initial=0)) for block in blocks), default=0.0)
    if peak < UNSCALED and not (peak >= 2 and all(map(_are_integers, blocks))):
        return 0
    return next((bits for bits in BITS if peak <= 2**bits), 0)


def _are_integers(block: Block) -> bool:
    return bool((np.rint(block) == block).all())


@dataclass
class Levels:
    """Adds up over blocks of a recording, and over its segments."""

    mix: Mix = Mix()
    lowest: float = math.inf
    highest: float = -math.inf
    squares: float = 0.0
    n_frames: int = 0
    n_clipped: int = 0
    n_samples: int = 0
    is_unscaled: bool = False  # float samples look like integers,
    bits: int = 0  # and those are of so many bits
    sums: Sums = ()  # of each of several channels, and of their mean

    def take(self, block: Block, mono: Samples, scale: float = 1.0) -> None:
        """Makes one channel of `block`, and adds its level; `scale` makes full scale 1.

        Each sample is rounded to float32. Raises DecodingError where samples are no numbers, or far
        beyond what a file may hold.
        """
        if not block.size:
            return
        is_float, scale = block.dtype.kind == "f", scale * self.mix.scale
        lowest, highest = float(block.min()), float(block.max())
        if is_float and not (lowest >= -MAX_LEVEL and highest <= MAX_LEVEL):  # NaN is neither
            raise DecodingError(
                "not_finite",
                "holds samples that are no numbers (NaN, infinity or beyond any scale); export it "
                "again",
            )
        lowest, highest = lowest * scale, highest * scale
        peak = max(-lowest, highest)
        self.lowest, self.highest = min(self.lowest, lowest), max(self.highest, highest)
        if peak >= CLIPPED:
            limit = CLIPPED / scale
            self.n_clipped += int(np.count_nonzero((block >= limit) | (block <= -limit)))
            if is_float and scale == 1:
                is_whole = peak == int(peak) and _are_integers(block)
                self.is_unscaled |= is_whole or peak >= UNSCALED
        self.n_frames += len(mono)
        self.n_samples += block.size
        sums = _mix(block, mono, self.mix.channel, scale)  # last: `mono` may be the block itself
        if not sums or self.mix.channel is not None:
            self.squares += float(np.dot(mono, mono))
        else:
            self.squares += sums[-1][1]
        self.sums = _joined(self.sums, sums)

    def join(self, other: Levels) -> None:
        if other.mix != Mix():
            self.mix = other.mix
        self.lowest, self.highest = min(self.lowest, other.lowest), max(self.highest, other.highest)
        self.squares += other.squares
        self.n_frames += other.n_frames
        self.n_clipped += other.n_clipped
        self.n_samples += other.n_samples
        self.sums = _joined(self.sums, other.sums)

    @property
    def peak_dbfs(self) -> float:
        return _decibels(max(-self.lowest, self.highest))

    @property
    def rms_dbfs(self) -> float:
        return _decibels(math.sqrt(self.squares / self.n_frames)) if self.n_frames else FLOOR_DBFS

    @property
    def clipped(self) -> float:
        """Share of the samples, 0 to 1."""
        return self.n_clipped / self.n_samples if self.n_samples else 0.0

    @property
    def cancels(self) -> bool:
        """Whether the mean is far below the loudest channel."""
        *powers, mean = self._powers or (0.0, 0.0)
        return mean < CANCELLED * max(powers)

    @property
    def loudest(self) -> int | None:
        """The first of those that rounding may have made the loudest."""
        powers = self._powers[:-1]
        alike = (at for at, power in enumerate(powers) if power >= ALIKE * max(powers))
        return next(alike, None)

    @property
    def warning(self) -> str | None:
        """What is odd about the sound of the whole recording."""
        return "; ".join(self._oddities()) or None

    @property
    def _powers(self) -> list[float]:
        """Without a constant offset, that of the mean last; of one channel none."""
        n = self.n_frames
        return [max(0.0, squares / n - (total / n) ** 2) for total, squares in self.sums]

    def _oddities(self) -> list[str]:
        if self.n_frames > 1 and self.lowest == self.highest:
            if self.lowest == 0:
                return ["digital silence: every sample is zero; check the recorder"]
            return ["stuck: all samples have one value; check the recorder"]
        found = []
        powers, channel = self._powers[:-1], self.mix.channel
        floors = [ROUNDING * squares / self.n_frames for _, squares in self.sums]
        floors = [max(DEAD * max(powers), floor) for floor in floors[: len(powers)]]
        dead = [at + 1 for at, power in enumerate(powers) if power <= floors[at]]
        if self.mix.cancels:
            found.append(
                "the channels cancel each other: their mean is more than 20 dB below the loudest, "
                f"channel {(channel or 0) + 1}, which is scored instead"
            )
        elif channel is not None and channel >= max(1, len(powers)):
            found.append(f"has no channel {channel + 1}; all that it has is scored")
        if 0 < len(dead) < len(powers):
            names = ", ".join(map(str, dead))
            found.append(f"dead: channel {names} lies 60 dB or more below the loudest")
        if self.mix.bits:
            found.append(
                f"float samples on the scale of integers of {self.mix.bits} bits; scaled down"
            )
        elif self.peak_dbfs > MAX_DBFS:
            found.append(f"samples lie {self.peak_dbfs:.0f} dB above full scale; export it again")
        return found


def _mix(block: Block, mono: Samples, channel: int | None, scale: float) -> Sums:
    """One channel of (N, channels), and the sums of all channels and their mean, of several."""
    n_channels = block.shape[1]
    if n_channels == 1:
        mono[:] = block[:, 0]
        if scale != 1:
            mono *= np.float32(scale)
        return ()
    is_pairs = block.dtype == _PAIRED and n_channels == 2 and block.flags.c_contiguous
    copy_channel, scale = (_copy_of_pair, scale * 2.0**-16) if is_pairs else (_copy, scale)
    scratch, sums = np.empty_like(mono), []
    for at in range(n_channels):
        samples = scratch if at else mono
        copy_channel(block, at, samples)
        sums.append(_sums(samples))
        if at:
            mono += scratch
    squares = float(np.dot(mono, mono)) / n_channels**2
    sums.append((sum(total for total, _ in sums) / n_channels, squares))
    if channel is not None and channel < n_channels:
        copy_channel(block, channel, mono)
        n_channels = 1
    mono /= np.float32(n_channels / scale)
    return tuple((total * scale, squares * scale**2) for total, squares in sums)


def _copy(block: Block, channel: int, samples: Samples) -> None:
    samples[:] = block[:, channel]


def _copy_of_pair(block: Block, channel: int, samples: Samples) -> None:
    """Times 2**16: one of two with 16 bits, out of both as one number, in half the time."""
    pairs = block.view("<i4")[:, 0]
    if channel == 0:
        np.left_shift(pairs, 16, out=samples, casting="unsafe")
    else:
        np.bitwise_and(pairs, -(2**16), out=samples, casting="unsafe")


def _sums(samples: Samples) -> tuple[float, float]:
    """Both as products, which take a quarter of the time of numpy's sum; exact to a millionth."""
    rows = samples[: len(samples) // len(_ONES) * len(_ONES)].reshape(-1, len(_ONES))
    rest = samples[rows.size :]
    total = (rows @ _ONES).sum(dtype=np.float64) + rest.sum(dtype=np.float64)
    squares = np.vecdot(rows, rows).sum(dtype=np.float64) + np.dot(rest, rest)
    return float(total), float(squares)


def _joined(sums: Sums, others: Sums) -> Sums:
    """Of two stretches with the same channels; else the first that there is."""
    if len(sums) != len(others):
        return sums or others
    return tuple((a + c, b + d) for (a, b), (c, d) in zip(sums, others, strict=True))


def _decibels(amplitude: float) -> float:
    if not amplitude > 0:
        return FLOOR_DBFS
    return round(max(FLOOR_DBFS, 20 * math.log10(amplitude)), 2)
