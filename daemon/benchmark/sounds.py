"""Sounds for a benchmark where nobody has brought any: the same ones in every format."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from classifier.audio.soundfile_reader import BLOCK_SAMPLES
from classifier.workers.process import usable_cores

RATE_HZ = 44_100
FEWEST = 4
SUBTYPES = {"wav": "PCM_16", "ogg": "VORBIS", "flac": "PCM_16", "mp3": "MPEG_LAYER_III"}

Samples = npt.NDArray[np.float32]


def make_sounds(
    folder: Path, suffix: str, most: int, seconds: float, deadline: float = math.inf
) -> list[Path]:
    """Up to `most` files of this format, as many as are begun by then; the same ones in each.

    `deadline` is a moment of `time.monotonic`. FEWEST are made however long it takes.
    """
    make = partial(_make, folder, suffix, seconds, deadline)
    with ThreadPoolExecutor(usable_cores()) as threads:  # encoders release the GIL
        return [path for path in threads.map(make, range(most)) if path]


def write_sound(path: Path, samples: Samples, rate_hz: int) -> None:
    """Encodes samples (N,) or (N, channels) as 16-bit WAV, or as what else the suffix says."""
    suffix, channels = path.suffix.removeprefix("."), 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(path, "w", rate_hz, channels, SUBTYPES[suffix]) as file:
        for block in _blocks(samples):
            file.write(block)


def _make(folder: Path, suffix: str, seconds: float, deadline: float, number: int) -> Path | None:
    if number >= FEWEST and time.monotonic() > deadline:
        return None
    path = folder / f"{number:05}.{suffix}"
    write_sound(path, _sound(number, round(seconds * RATE_HZ)), RATE_HZ)
    return path


def _sound(number: int, n_samples: int) -> Samples:
    """A tone of its own pitch in noise of its own: no two are alike."""
    chance = np.random.default_rng(number)
    phase = np.arange(n_samples, dtype=np.float32) * np.float32(chance.uniform(0.01, 1.0))
    noise = chance.standard_normal(n_samples, dtype=np.float32)
    mixed: Samples = np.float32(0.3) * np.sin(phase) + np.float32(0.05) * noise
    return mixed


def _blocks(samples: Samples) -> Iterable[Samples]:
    """libsndfile crashes on a long Ogg written at once."""
    return (samples[at : at + BLOCK_SAMPLES] for at in range(0, len(samples), BLOCK_SAMPLES))
