"""What sounds are made of: oscillators, envelopes, noise and filters.

Axes: S samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, fftconvolve, sosfilt

Samples = npt.NDArray[np.float64]

RATE_HZ, SECONDS = 22_050, 5.0
N_SAMPLES = round(RATE_HZ * SECONDS)
N_FFT, HOP_LENGTH = 512, 128


# --- oscillators and envelopes


def time_s(length: int = N_SAMPLES) -> Samples:
    return np.arange(length) / RATE_HZ


def sine(hz: Samples) -> Samples:
    return np.sin(2 * np.pi * np.cumsum(hz) / RATE_HZ)


def saw(hz: Samples) -> Samples:
    return 2 * (np.cumsum(hz) / RATE_HZ % 1) - 1


def stairs(steps: Samples, length: int) -> Samples:
    return steps[np.arange(length) * len(steps) // length]


def decay(length: int, seconds: float) -> Samples:
    return np.exp(-time_s(length) / seconds)


def swell(length: int, edge_seconds: float) -> Samples:
    """Up at the beginning, and down at the end."""
    place = np.arange(length)
    edge = np.minimum(place, length - 1 - place) / (edge_seconds * RATE_HZ)
    return np.minimum(1, edge)


def tone(
    hz: float, seconds: float, partials: Sequence[float] | Samples, fall: float, attack: float
) -> Samples:
    """A note of these partials, which dies away in `fall` seconds."""
    time = time_s(int(seconds * RATE_HZ))
    waves = [
        loud * np.sin(2 * np.pi * n * hz * time)
        for n, loud in enumerate(partials, 1)
        if n * hz < RATE_HZ / 2
    ]
    whole = np.sum([np.zeros(len(time)), *waves], axis=0)
    return whole * np.exp(-time / fall) * np.clip(time / attack, 0, 1)


# --- noise


def coloured(rng: np.random.Generator) -> Samples:
    """From white to brown."""
    spectrum = np.fft.rfft(rng.standard_normal(N_SAMPLES))
    hz = np.fft.rfftfreq(N_SAMPLES, 1 / RATE_HZ)
    return np.fft.irfft(spectrum * np.maximum(hz, 20.0) ** -rng.uniform(0, 1.2), N_SAMPLES)


def band(rng: np.random.Generator, length: int, low_hz: float, high_hz: float) -> Samples:
    high_hz = min(high_hz, 0.49 * RATE_HZ)
    passed = [min(low_hz, 0.8 * high_hz), high_hz]
    passes = butter(2, passed, "bandpass", fs=RATE_HZ, output="sos")
    return np.asarray(sosfilt(passes, rng.standard_normal(length)))


def hit(
    rng: np.random.Generator, length: int, low_hz: float, high_hz: float, fall: float
) -> Samples:
    """Noise of a band that dies away."""
    return unit(band(rng, length, low_hz, high_hz)) * decay(length, fall)


# --- filters and levels


def low_pass(sound: Samples, hz: float, order: int = 4) -> Samples:
    return np.asarray(sosfilt(butter(order, hz, fs=RATE_HZ, output="sos"), sound))


def in_a_room(sound: Samples, rng: np.random.Generator) -> Samples:
    """With its echoes; the length stays."""
    echoes = rng.standard_normal(RATE_HZ // 2) * decay(RATE_HZ // 2, rng.uniform(0.02, 0.25))
    echoes[0] = np.abs(echoes).sum() * rng.uniform(0.05, 0.4)
    return np.asarray(fftconvolve(sound, echoes)[: len(sound)])


def unit(samples: Samples) -> Samples:
    return samples / max(float(np.sqrt(np.mean(samples**2))), 1e-9)


def peak(samples: Samples) -> Samples:
    return samples / max(float(np.abs(samples).max(initial=0)), 1e-9)


def add(out: Samples, at: int, part: Samples) -> None:
    end = min(len(out), at + len(part))
    if end > at:
        out[at:end] += part[: end - at]


# --- spectra over time


def short_spectra(samples: Samples) -> npt.NDArray[np.complex128]:
    """(S,) to one spectrum for each HOP_LENGTH samples."""
    padded = np.pad(samples, N_FFT)
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP_LENGTH]
    return np.fft.rfft(frames * np.hanning(N_FFT + 1)[:-1])


def from_spectra(spectra: npt.NDArray[np.complex128], length: int) -> Samples:
    """What `short_spectra` gave such spectra for; (length,)."""
    frames = np.fft.irfft(spectra, N_FFT) * np.hanning(N_FFT + 1)[:-1]
    out = np.zeros(N_FFT + len(frames) * HOP_LENGTH)
    for number, frame in enumerate(frames):
        out[number * HOP_LENGTH :][:N_FFT] += frame
    return out[N_FFT:][:length] / 1.5
