"""Counterfeits: clips of ESC-10 made into sounds that are none of its kinds.

Each keeps something by which its clip might be known too easily (how loud it is when, where its
energy lies, the silence behind it) and loses the rest. It stays in the fold and the group of its
clip, so that no fold is learned from another one.

Axes: S samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import soundfile
import soxr
from scipy.signal import fftconvolve

from benchmarks.starter.music import bells, chords, melody, plucked, song
from benchmarks.starter.speech import babble, speech
from benchmarks.starter.surroundings import bird, call, city, hum, machine, noise
from benchmarks.starter.waves import (
    N_SAMPLES,
    RATE_HZ,
    Samples,
    from_spectra,
    short_spectra,
    unit,
)

Way = Callable[[Samples, np.random.Generator], Samples]

FILLINGS = (
    *(speech, speech, melody, bird, hum, bells, chords, plucked),
    *(song, machine, call, noise, city, babble),
)
N_BANDS = 8  # whose order is shuffled
ENVELOPE_SECONDS = 0.02


def counterfeit(clip: Path, label: str, rng: np.random.Generator) -> tuple[str, Samples]:
    """The way it was made, and its sound."""
    ways = WAYS[label]
    way = ways[rng.integers(len(ways))]
    return way.__name__, way(read(clip), rng)


def read(path: Path) -> Samples:
    samples, rate_hz = soundfile.read(path)
    resampled = soxr.resample(samples, rate_hz, RATE_HZ)[:N_SAMPLES]
    return np.pad(resampled, (0, N_SAMPLES - len(resampled)))


def refilled(clip: Samples, rng: np.random.Generator) -> Samples:
    """As loud as the clip at any time, but another sound."""
    return unit(FILLINGS[rng.integers(len(FILLINGS))](rng)) * envelope(clip)


def vocoded(clip: Samples, rng: np.random.Generator) -> Samples:
    """Noise as loud as the clip at any time, with its spectrum over all the time."""
    return steadied(clip, rng) * envelope(clip)


def steadied(clip: Samples, rng: np.random.Generator) -> Samples:
    """Noise with the clip's spectrum over all the time."""
    spectrum = np.abs(np.fft.rfft(clip))
    turns = np.exp(2j * np.pi * rng.random(len(spectrum)))
    return np.fft.irfft(spectrum * turns, N_SAMPLES)


def inverted(clip: Samples, rng: np.random.Generator) -> Samples:
    """What was high is low."""
    return clip * np.where(np.arange(N_SAMPLES) % 2, -1, 1)


def stretched(clip: Samples, rng: np.random.Generator) -> Samples:
    """Slower and lower by more than an octave, or faster and higher, again and again."""
    factor = 2 ** (rng.choice([-1, 1]) * rng.uniform(1.1, 2))
    return np.resize(soxr.resample(clip, RATE_HZ, RATE_HZ * factor), N_SAMPLES)


def shuffled(clip: Samples, rng: np.random.Generator) -> Samples:
    """Its bands in another order."""
    spectra = short_spectra(clip)
    bands = np.array_split(np.arange(spectra.shape[1]), N_BANDS)
    order = np.concatenate([bands[at] for at in rng.permutation(N_BANDS)])
    return from_spectra(spectra[:, order], N_SAMPLES)


def envelope(clip: Samples) -> Samples:
    """Amplitude over time (S,)."""
    window = np.hanning(round(ENVELOPE_SECONDS * RATE_HZ))
    power = fftconvolve(clip**2, window / window.sum(), "same")
    return np.sqrt(np.maximum(power, 0))


# Rain that is turned upside down in time is rain, and steady noise of its spectrum too.
VOICE_LIKE = (refilled, refilled, vocoded, inverted, stretched, shuffled)
WAYS: Mapping[str, tuple[Way, ...]] = {
    "baby_cry": VOICE_LIKE,
    "chainsaw": (inverted, shuffled, stretched, steadied),
    "clock_tick": (refilled, inverted, shuffled, steadied),
    "dog_bark": VOICE_LIKE,
    "fire_crackling": (refilled, inverted, shuffled, steadied),
    "helicopter": (inverted, shuffled, stretched, steadied),
    "person_sneeze": VOICE_LIKE,
    "rain": (refilled, inverted, shuffled),
    "rooster": VOICE_LIKE,
    "sea_waves": (refilled, inverted, shuffled),
}
