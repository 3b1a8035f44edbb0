"""City sounds made from numbers, so that the whole loop can be shown and tested without a download.

The labels are those of UrbanSound8K. Every draw varies pitch, tempo, level, background and length:
enough for a small network to have something to learn, not enough to replace real recordings.

Axes: S samples, C channels, K partials.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from storage.values.decision import NONE, SEPARATOR, labels_in

Samples = npt.NDArray[np.float64]
Voice = Callable[[np.random.Generator, Samples, int], Samples]
Row = tuple[str, str, str]

SAMPLE_RATES_HZ = (16_000, 22_050, 32_000, 44_100, 48_000)
FORMATS = (("wav", "PCM_16"), ("wav", "PCM_24"), ("flac", "PCM_16"), ("ogg", "VORBIS"))
CLIP_SECONDS = (0.6, 2.5)
CLIPS_PER_SOURCE = 2
SIGNAL_TO_NOISE_DB = (6.0, 30.0)
PEAK_DB = (-20.0, -1.0)
BESIDE_THE_FIRST_DB = (-6.0, 6.0)  # the level of a further sound
MAJOR_TRIAD = (1.0, 2 ** (4 / 12), 2 ** (7 / 12))
# The roots of I, IV, V and vi, in semitones above the key.
CHORD_ROOTS_SEMITONES = (0, 5, 7, 9)


def synthesise(
    label: str, rng: np.random.Generator, sample_rate_hz: int, seconds: float
) -> npt.NDArray[np.float32]:
    """One take, of 0.6 seconds or more, with its background: float32 mono [S], peak below 1.

    The label is one of VOICES, or several at once as `a;b`, or `none`: the background alone.
    """
    time_s = np.arange(round(seconds * sample_rate_hz)) / sample_rate_hz
    voice = np.zeros_like(time_s)
    for number, each in enumerate(labels_in(label) if label != NONE else ()):
        level_db = rng.uniform(*BESIDE_THE_FIRST_DB) if number else 0.0
        voice += _gain(level_db) * _at_unit_power(VOICES[each](rng, time_s, sample_rate_hz))
    backdrop = _noise(rng, len(time_s), sample_rate_hz, slope=rng.uniform(0, 1))
    mixed = voice + _gain(-rng.uniform(*SIGNAL_TO_NOISE_DB)) * backdrop
    levelled: Samples = _gain(rng.uniform(*PEAK_DB)) * mixed / np.abs(mixed).max()
    return levelled.astype(np.float32)


def make_set(folder: Path, labels: Sequence[str], per_label: int, seed: int) -> Path:
    """Write `per_label` recordings of each label and `labels.csv` (path, label, group).

    Rates, containers, channel counts and lengths are mixed, as they are in any real collection.
    The same seed gives the same samples; other labels in the set do not change them.
    Returns the path of the CSV.
    """
    folder.mkdir(parents=True, exist_ok=True)
    labels_csv = folder / "labels.csv"
    with labels_csv.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "group"))
        for label in labels:
            writer.writerows(islice(_write_sources(folder, label, seed), per_label))
    return labels_csv


def _write_sources(folder: Path, label: str, seed: int) -> Iterator[Row]:
    """Clips of one label without end. Clips cut from one source share a group, so that a split
    by groups never validates on a sound it has trained on."""
    source = 0
    while True:
        rng = np.random.default_rng([seed, zlib.crc32(label.encode()), source])
        group = f"{label.replace(SEPARATOR, '+')}-{source:03d}"
        sample_rate_hz = int(rng.choice(SAMPLE_RATES_HZ))
        lengths_s = rng.uniform(*CLIP_SECONDS, CLIPS_PER_SOURCE)
        sound = synthesise(label, rng, sample_rate_hz, float(lengths_s.sum()))
        cuts = (lengths_s.cumsum()[:-1] * sample_rate_hz).astype(int)
        for take, mono in enumerate(np.split(sound, cuts)):
            suffix, subtype = FORMATS[rng.integers(len(FORMATS))]
            name = f"{group}-{take}.{suffix}"
            channels = _spread(mono, rng) if rng.random() < 0.5 else mono
            soundfile.write(folder / name, channels, sample_rate_hz, subtype=subtype)
            yield name, label, group
        source += 1


def _spread(mono: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """[S] -> [S, C=2]: the source stands somewhere between the two microphones."""
    position = rng.uniform(0.1, 0.9)
    gains = np.sqrt([1 - position, position]).astype(np.float32)
    return mono[:, None] * gains


def _dog_bark(rng: np.random.Generator, time_s: Samples, sample_rate_hz: int) -> Samples:
    """Short bursts whose pitch falls, half voice and half breath."""
    age_s, _ = _events(rng, time_s, shortest_s=0.22, longest_s=0.55)
    decay_s = rng.uniform(0.04, 0.09)
    pitch_hz = rng.uniform(280, 900) * (0.7 + 0.6 * np.exp(-age_s / 0.06))
    throat = _partials(pitch_hz, (0.6, 1.0, 0.8, 0.5, 0.3, 0.2, 0.1), sample_rate_hz)
    breath = _noise(rng, len(time_s), sample_rate_hz, low_hz=400, high_hz=4_000)
    return (throat + rng.uniform(0.2, 0.6) * breath) * _strike(age_s, 0.012, decay_s)


def _drilling(rng: np.random.Generator, time_s: Samples, sample_rate_hz: int) -> Samples:
    """A motor's buzz under broadband noise that the hammer beats in and out."""
    hammer = 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(12, 32) * time_s)
    depth = rng.uniform(0.3, 0.95)
    grind = _noise(rng, len(time_s), sample_rate_hz, low_hz=rng.uniform(600, 1_500), high_hz=7_500)
    load = 1 + 0.05 * np.sin(2 * np.pi * rng.uniform(0.3, 1.5) * time_s + rng.uniform(0, 6))
    motor = _partials(rng.uniform(90, 260) * load, 1 / np.arange(1, 25), sample_rate_hz)
    return grind * (1 - depth * hammer) + rng.uniform(0.2, 0.7) * motor


def _engine_idling(rng: np.random.Generator, time_s: Samples, sample_rate_hz: int) -> Samples:
    """Firing pulses at 20 to 60 Hz, never quite even, over a rumble."""
    hunting = 1 + 0.04 * np.sin(2 * np.pi * rng.uniform(0.5, 2.5) * time_s)
    firing_hz = rng.uniform(20, 60) * hunting
    partials = np.arange(1, 30)
    pulses = _partials(firing_hz, np.exp(-partials / rng.uniform(4, 12)), sample_rate_hz)
    rumble = _noise(rng, len(time_s), sample_rate_hz, low_hz=25, high_hz=rng.uniform(200, 500))
    hiss = _noise(rng, len(time_s), sample_rate_hz, low_hz=300, high_hz=3_000, slope=1)
    return pulses + rng.uniform(0.3, 1.0) * rumble + rng.uniform(0.05, 0.3) * hiss


def _siren(rng: np.random.Generator, time_s: Samples, sample_rate_hz: int) -> Samples:
    """One tone swept slowly (wail) or quickly (yelp) over about an octave."""
    sweeps_hz = rng.uniform(0.25, 0.6) if rng.random() < 0.5 else rng.uniform(2, 5)
    sweep = np.sin(2 * np.pi * (sweeps_hz * time_s + rng.random()))
    pitch_hz = rng.uniform(600, 1_100) * rng.uniform(1.3, 1.6) ** sweep
    return _partials(pitch_hz, (1.0, 0.35, 0.25, 0.1), sample_rate_hz)


def _street_music(rng: np.random.Generator, time_s: Samples, sample_rate_hz: int) -> Samples:
    """Plucked major chords on an even beat, with a shaker between them."""
    beat_s = 60 / rng.uniform(90, 170)
    age_s, beat = _events(rng, time_s, shortest_s=beat_s, longest_s=beat_s)
    roots = 2.0 ** (rng.choice(CHORD_ROOTS_SEMITONES, beat.max() + 1) / 12)
    root_hz = rng.uniform(130, 330) * roots[beat]
    pluck = (1.0, 0.6, 0.35, 0.2, 0.12)
    notes = [_partials(root_hz * ratio, pluck, sample_rate_hz) for ratio in MAJOR_TRIAD]
    chord: Samples = np.sum(notes, axis=0) * _strike(age_s, 0.005, rng.uniform(0.12, 0.4))
    shaker = _noise(rng, len(time_s), sample_rate_hz, low_hz=4_000, high_hz=8_000)
    return chord + rng.uniform(0.1, 0.5) * shaker * _strike(age_s, 0.002, 0.03)


def _car_horn(rng: np.random.Generator, time_s: Samples, sample_rate_hz: int) -> Samples:
    """Two bright steady tones a third apart, pressed and released."""
    age_s, _ = _events(rng, time_s, shortest_s=0.45, longest_s=0.8)
    pressed = np.clip((rng.uniform(0.3, 0.6) - age_s) / 0.02, 0, 1)
    low_hz = np.full_like(time_s, rng.uniform(330, 480))
    bright = np.arange(1.0, 16.0) ** -rng.uniform(0.2, 0.7)
    low = _partials(low_hz, bright, sample_rate_hz)
    high = _partials(low_hz * rng.uniform(1.18, 1.27), bright, sample_rate_hz)
    return (low + high) * pressed * np.clip(age_s / 0.02, 0, 1)


VOICES: dict[str, Voice] = {
    "dog_bark": _dog_bark,
    "drilling": _drilling,
    "engine_idling": _engine_idling,
    "siren": _siren,
    "street_music": _street_music,
    "car_horn": _car_horn,
}


def _events(
    rng: np.random.Generator, time_s: Samples, shortest_s: float, longest_s: float
) -> tuple[Samples, npt.NDArray[np.intp]]:
    """For each sample, the seconds since the latest event and that event's number, both [S]."""
    gaps_s = rng.uniform(shortest_s, longest_s, int(time_s[-1] / shortest_s) + 3)
    # The first event lies before the clip: a recording seldom starts where its sound does.
    onsets_s = gaps_s.cumsum() - gaps_s[0] * (1 + rng.random())
    event = np.searchsorted(onsets_s, time_s, side="right") - 1
    return time_s - onsets_s[event], event


def _strike(age_s: Samples, attack_s: float, decay_s: float) -> Samples:
    return np.clip(age_s / attack_s, 0, 1) * np.exp(-age_s / decay_s)


def _partials(
    pitch_hz: Samples, amplitudes: Sequence[float] | Samples, sample_rate_hz: int
) -> Samples:
    """Sum of harmonics [S] of a moving pitch [S]; `amplitudes` [K] begin at the fundamental."""
    turn = np.exp(2j * np.pi * np.cumsum(pitch_hz) / sample_rate_hz)
    total = np.zeros_like(pitch_hz)
    partial = np.ones_like(turn)
    for number, amplitude in enumerate(amplitudes, start=1):
        # Powers of one rotation cost a fifth of a sine for each partial.
        partial = partial * turn
        # A partial above half the sample rate would fold back as a false tone.
        sounding = number * pitch_hz < sample_rate_hz / 2
        total += amplitude * sounding * partial.imag
    return total


def _noise(
    rng: np.random.Generator,
    n_samples: int,
    sample_rate_hz: int,
    *,
    low_hz: float = 20.0,
    high_hz: float = np.inf,
    slope: float = 0.0,
) -> Samples:
    """Gaussian noise [S] of unit power between two frequencies, falling as 1 / frequency**slope."""
    # Ten times as fast as a transform whose length happens to have a large prime factor.
    n_transformed = 1 << (n_samples - 1).bit_length()
    spectrum = np.fft.rfft(rng.standard_normal(n_transformed))
    frequency_hz = np.fft.rfftfreq(n_transformed, 1 / sample_rate_hz)
    in_band = (frequency_hz >= low_hz) & (frequency_hz <= high_hz)
    shaped = spectrum * in_band * np.maximum(frequency_hz, low_hz) ** -slope
    return _at_unit_power(np.fft.irfft(shaped)[:n_samples])


def _at_unit_power(samples: Samples) -> Samples:
    root_mean_square = float(np.sqrt(np.mean(samples**2)))
    return samples / root_mean_square


def _gain(decibels: float) -> float:
    return float(10 ** (decibels / 20))
