"""Probes: what a network answers to silence, noise and mains hum.

A network has no other answer than its labels, so it gives one to these as well. How confident it is
shows how far its confidence can be trusted on sounds that it was not trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from classifier.model.classifier import ClipClassifier

Clip = npt.NDArray[np.float64]
Rng = np.random.RandomState  # its stream is frozen for all numpy versions

SEEDS = (0, 1, 2)
PINK_DBFS = -20.0
HUM_DBFS = -30.0
HARMONICS = 9


@dataclass(frozen=True)
class Probe:
    """A sound, the most probable label for it, and its confidence.

    Both are None where the scores are no numbers.
    """

    name: str
    label: str | None
    confidence: float | None


@torch.inference_mode()
def probe(model: ClipClassifier, labels: tuple[str, ...]) -> tuple[Probe, ...]:
    """The answers to all SOUNDS: mean scores over a few seeds, under the model's temperature."""
    model.eval()
    audio_format = model.logmel.audio_format
    samples, rate_hz = audio_format.clip_samples, audio_format.sample_rate_hz
    found = []
    for name, make in SOUNDS.items():
        takes = [make(samples, rate_hz, Rng(seed)) for seed in SEEDS]
        clips = torch.from_numpy(np.stack(takes).astype(np.float32))
        scores = model.scores(clips.to(model.band_mean.device)).double().mean(0).cpu().numpy()
        found.append(_answer(name, labels, scores))
    return tuple(found)


def silence(samples: int, rate_hz: int, rng: Rng) -> Clip:
    return np.zeros(samples)


def white_noise(dbfs: float) -> Callable[[int, int, Rng], Clip]:
    """Makes noise of one level at every frequency; `dbfs` is its RMS below a full-scale of 1."""
    return lambda samples, rate_hz, rng: _at_level(rng.randn(samples), dbfs)


def pink_noise(samples: int, rate_hz: int, rng: Rng) -> Clip:
    """Noise whose power falls as the frequency rises, as wind and distant traffic have it."""
    spectrum = np.fft.rfft(rng.randn(samples))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    return _at_level(np.fft.irfft(spectrum, samples), PINK_DBFS)


def mains_hum(hz: float) -> Callable[[int, int, Rng], Clip]:
    """Makes the hum of a bad cable: the mains' frequency and its harmonics, in a random phase."""

    def make(samples: int, rate_hz: int, rng: Rng) -> Clip:
        time = np.arange(samples) / rate_hz
        partials = [n for n in range(1, HARMONICS + 1) if n * hz < rate_hz / 2]
        phases = rng.uniform(0, 2 * np.pi, HARMONICS)
        tones = [
            np.sin(2 * np.pi * n * hz * time + phase) / n
            for n, phase in zip(partials, phases, strict=False)
        ]
        return _at_level(np.sum(tones, axis=0), HUM_DBFS)

    return make


SOUNDS: dict[str, Callable[[int, int, Rng], Clip]] = {
    "digital silence": silence,
    "white noise, -20 dBFS": white_noise(-20),
    "white noise, -40 dBFS": white_noise(-40),
    "white noise, -60 dBFS": white_noise(-60),
    "pink noise, -20 dBFS": pink_noise,
    "mains hum, 50 Hz": mains_hum(50),
    "mains hum, 60 Hz": mains_hum(60),
}


def _at_level(clip: Clip, dbfs: float) -> Clip:
    rms = np.sqrt(np.square(clip).mean())
    return clip * (10 ** (dbfs / 20) / max(rms, 1e-12))  # type: ignore[no-any-return]


def _answer(name: str, labels: tuple[str, ...], scores: Clip) -> Probe:
    if not np.isfinite(scores).all():
        return Probe(name, None, None)
    best = int(scores.argmax())
    return Probe(name, labels[best], float(scores[best]))
