"""What decoding costs alone, and how much of it is resampling."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from classifier.audio.decode import DecodedAudio, Segment, decode
from classifier.errors import DecodingError
from daemon.pipeline.window import SEGMENT_SECONDS

Samples = npt.NDArray[np.float32]


class Grid(NamedTuple):
    """Where clips lie: their rate, their length, and how far apart they start."""

    sample_rate_hz: int
    clip_samples: int
    hop_samples: int

    def at(self, rate_hz: int) -> Grid:
        """The same moments at another rate."""
        factor = rate_hz / self.sample_rate_hz
        clip, hop = (max(1, round(n * factor)) for n in (self.clip_samples, self.hop_samples))
        return Grid(rate_hz, clip, hop)


@dataclass
class DecodingCost:
    """CPU time over `clips` clips of `recordings` recordings; `heard` are clips (C, S) of them.

    `native_ms` is what the same takes without resampling.
    """

    total_ms: float = 0.0
    native_ms: float = 0.0
    clips: int = 0
    recordings: int = 0
    heard: list[Samples] = field(default_factory=list)

    @property
    def decode_ms(self) -> float:
        """Per clip, without resampling."""
        return min(self.native_ms, self.total_ms) / self.clips

    @property
    def resample_ms(self) -> float:
        """Per clip."""
        return max(0.0, self.total_ms - self.native_ms) / self.clips


def measure_decoding(
    files: Sequence[Path], grid: Grid, seconds: float, n_heard: int
) -> DecodingCost:
    """Decodes each file as the network hears it and at its own rate, for about so many seconds.

    The files are ours: they are touched, since a worker remembers what it found out about one.
    Those that cannot be decoded are passed over. Of a recording that takes longer a part is
    decoded, and the reading of the whole counts as its own. `heard` keeps up to `n_heard` clips.
    """
    cost, end = DecodingCost(), time.perf_counter() + seconds
    _decode_all(files[0], grid, end)  # the first call loads codecs and tables
    for file in files:
        _measure(file, grid, cost, end, n_heard)
        if time.perf_counter() >= end and cost.clips:
            break
    return cost


def _measure(file: Path, grid: Grid, cost: DecodingCost, end: float, n_heard: int) -> None:
    spent_ms, decoded = _decode_all(file, grid, end)
    if not decoded:
        return
    native = grid.at(decoded[0].sample_rate_hz)
    native_ms = spent_ms if native == grid else _decode_all(file, native, end, len(decoded))[0]
    cost.total_ms += spent_ms
    cost.native_ms += native_ms
    cost.clips += sum(len(stretch.clips) for stretch in decoded)
    cost.recordings += 1
    room = n_heard - sum(map(len, cost.heard))
    cost.heard += [stretch.clips[:room] for stretch in decoded[:1] if room > 0]


def _decode_all(
    file: Path, grid: Grid, end: float, most: int | None = None
) -> tuple[float, list[DecodedAudio]]:
    """CPU milliseconds, and the stretches: `most` of them, or as many as begin before `end`."""
    os.utime(file)
    decoded: list[DecodedAudio] = []
    n_clips = max(1, round(SEGMENT_SECONDS * grid.sample_rate_hz / grid.hop_samples))
    began = time.process_time()
    while _has_more(decoded, n_clips) and (
        len(decoded) < most if most else not decoded or time.perf_counter() < end
    ):
        first_clip = n_clips * len(decoded)
        stretch = Segment(os.fsencode(file), *grid, max_clips=n_clips, first_clip=first_clip)
        try:
            decoded.append(decode(stretch))
        except DecodingError:
            break
    return 1000 * (time.process_time() - began), decoded


def _has_more(decoded: Sequence[DecodedAudio], n_clips: int) -> bool:
    if not decoded:
        return True
    total = decoded[-1].total_clips
    return len(decoded[-1].clips) == n_clips and (total is None or total > n_clips * len(decoded))
