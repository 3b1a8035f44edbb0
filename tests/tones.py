"""Training data that needs no decoding: recordings of low and of high tones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from trainer.dataset import FULL_SCALE, Dataset
from trainer.labels import Example
from trainer.recipes import recipe_with

RATE_HZ = 8000
TONE_RECIPE = recipe_with(
    "reference",
    epochs=15,
    batch_size=8,
    learning_rate=0.01,
    widths=(4, 8, 16, 32),
    sample_rate_hz=RATE_HZ,
    clip_seconds=0.25,
    n_mels=16,
)


def tone(hz: float) -> np.ndarray:
    time = np.arange(RATE_HZ // 4) / RATE_HZ
    return np.sin(2 * np.pi * hz * time) + 0.01 * np.random.RandomState(int(hz)).randn(len(time))


def dataset_of(clips: list[np.ndarray], recording: list[int], labels: list[str]) -> Dataset:
    samples = np.stack([clip / np.abs(clip).max() * FULL_SCALE for clip in clips])
    return Dataset(
        examples=tuple(Example(Path(f"{at}.wav"), label) for at, label in enumerate(labels)),
        digests=tuple(str(at) for at in range(len(labels))),
        samples=torch.from_numpy(samples.round().astype(np.int16)),
        peaks=torch.ones(len(clips), 1),
        recording=torch.tensor(recording),
    )


def two_tones(n_recordings: int) -> Dataset:
    """Recordings of one clip; `low` and `high` take turns."""
    half = n_recordings // 2
    pairs = zip(np.linspace(300, 600, half), np.linspace(3000, 1500, half), strict=True)
    clips = [tone(hz) for pair in pairs for hz in pair]
    return dataset_of(clips, list(range(n_recordings)), ["low", "high"] * half)
