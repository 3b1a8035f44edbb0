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

MOST_SEGMENTS = 4  # of a recording: two minutes


class ClipGrid(NamedTuple):
    """Where clips lie: their rate, their length, and the distance between their starts."""

    sample_rate_hz: int
    clip_samples: int
    hop_samples: int

    def at(self, rate_hz: int) -> ClipGrid:
        """The same moments at another rate."""
        factor = rate_hz / self.sample_rate_hz
        clip, hop = (max(1, round(n * factor)) for n in (self.clip_samples, self.hop_samples))
        return ClipGrid(rate_hz, clip, hop)


@dataclass
class DecodingCost:
    """CPU time for `clips` clips of `recordings` recordings; `examples` holds some clips (C, S).

    `native_ms` is the time of the same without resampling.
    """

    total_ms: float = 0.0
    native_ms: float = 0.0
    clips: int = 0
    recordings: int = 0
    examples: list[npt.NDArray[np.float32]] = field(default_factory=list)

    @property
    def decode_ms(self) -> float:
        """Per clip, without resampling."""
        return min(self.native_ms, self.total_ms) / self.clips

    @property
    def resample_ms(self) -> float:
        """Per clip."""
        return max(0.0, self.total_ms - self.native_ms) / self.clips


def measure_decoding(
    files: Sequence[Path], grid: ClipGrid, seconds: float, n_examples: int
) -> DecodingCost:
    """Decodes each file at the network's rate and at its own, for about this number of seconds.

    The files are touched, since a worker caches facts of a file: so they must be copies. Files that
    cannot be decoded are left out. Of a long recording only the beginning is decoded, and the
    reading of the whole file counts as part of it. `examples` has at most `n_examples` clips.
    """
    cost, end = DecodingCost(), time.perf_counter() + seconds
    _decode(files[0], grid)  # the first call loads codecs and tables
    for file in files:
        _measure(file, grid, cost, n_examples)
        if time.perf_counter() >= end and cost.clips:
            break
    return cost


def _measure(file: Path, grid: ClipGrid, cost: DecodingCost, n_examples: int) -> None:
    total_ms, decoded = _decode(file, grid)
    if not decoded:
        return
    native = grid.at(decoded[0].sample_rate_hz)
    cost.total_ms += total_ms
    cost.native_ms += total_ms if native == grid else _decode(file, native, len(decoded))[0]
    cost.clips += sum(len(segment.clips) for segment in decoded)
    cost.recordings += 1
    missing = n_examples - sum(map(len, cost.examples))
    if missing > 0:
        cost.examples.append(decoded[0].clips[:missing])


def _decode(
    file: Path, grid: ClipGrid, most: int = MOST_SEGMENTS
) -> tuple[float, list[DecodedAudio]]:
    """CPU milliseconds, and the segments: at most `most` from the beginning."""
    os.utime(file)
    decoded: list[DecodedAudio] = []
    n_clips = max(1, round(SEGMENT_SECONDS * grid.sample_rate_hz / grid.hop_samples))
    began = time.process_time()
    while len(decoded) < most and not _is_complete(decoded, n_clips):
        first_clip = n_clips * len(decoded)
        segment = Segment(os.fsencode(file), *grid, max_clips=n_clips, first_clip=first_clip)
        try:
            decoded.append(decode(segment))
        except DecodingError:
            break
    return 1000 * (time.process_time() - began), decoded


def _is_complete(decoded: Sequence[DecodedAudio], n_clips: int) -> bool:
    if not decoded:
        return False
    total = decoded[-1].total_clips
    return len(decoded[-1].clips) < n_clips or total == n_clips * len(decoded)
