"""Speech-like sounds: words of no language, by voices of all sizes.

A source and filters: Klatt, "Software for a cascade/parallel formant synthesizer" (1980), with the
pulses of Rosenberg, "Effect of glottal pulse shape on the quality of natural vowels" (1971).

Axes: S samples, F frames of HOP_LENGTH samples.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.signal import lfilter

from benchmarks.starter.waves import (
    HOP_LENGTH,
    N_FFT,
    N_SAMPLES,
    RATE_HZ,
    Samples,
    add,
    from_spectra,
    short_spectra,
    unit,
)

FRAMES_PER_SECOND = RATE_HZ / HOP_LENGTH
N_FRAMES = N_SAMPLES // HOP_LENGTH
# The three lowest formants, of people of several sizes.
VOWELS_HZ = np.array(
    (
        *((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480)),
        *((850, 1220, 2810), (310, 2790, 3310), (370, 950, 2670), (610, 2330, 2990)),
        *((570, 840, 2410), (660, 1720, 2410), (440, 1020, 2240), (490, 1350, 1690)),
    ),
    np.float64,
)
HIGHER_FORMANTS_HZ = (3600, 4600)
WIDTHS_HZ = np.array((70, 90, 130, 200, 300))
HISSES_HZ = ((3500, 9000), (2000, 6000), (1200, 8000), (400, 7000))  # s, sh, f, h


@dataclass
class Utterance:
    """What a mouth does, frame by frame; (F,) and (F, 3).

    `voice`, `breath` and `hiss` are amplitudes. `size` of the mouth is a factor of its formants.
    """

    pitch_hz: float
    size: float
    at: int = 0
    pitch: Samples = field(default_factory=lambda: np.zeros(N_FRAMES))
    voice: Samples = field(default_factory=lambda: np.zeros(N_FRAMES))
    breath: Samples = field(default_factory=lambda: np.zeros(N_FRAMES))
    hiss: Samples = field(default_factory=lambda: np.zeros(N_FRAMES))
    hiss_hz: Samples = field(default_factory=lambda: np.tile((3000.0, 8000.0), (N_FRAMES, 1)))
    formants: Samples = field(default_factory=lambda: np.tile(VOWELS_HZ[0], (N_FRAMES, 1)))

    def vowel(self, rng: np.random.Generator, seconds: float, falls: float) -> None:
        """The pitch goes on from the last one; half of the vowels become another one."""
        part = self._next(seconds, at_least=3)
        length = part.stop - part.start
        if not length:
            return
        first, second = VOWELS_HZ[rng.integers(len(VOWELS_HZ), size=2)]
        second = first if rng.random() < 0.5 else second
        way = np.linspace(0, 1, length)[:, None] ** 2
        self.formants[part] = self.size * rng.uniform(0.93, 1.07) * (first + (second - first) * way)
        begin = self.pitch[part.start - 1] if part.start else 0.0
        end = self.pitch_hz * rng.uniform(0.75, 1.35) * falls
        self.pitch[part] = np.linspace(begin or end, end, length)
        place = np.arange(length)
        edge = np.minimum(place + 1, length - place) / rng.uniform(2, 6)
        self.voice[part] = np.minimum(1, edge) * rng.uniform(0.5, 1)
        self.breath[part] = self.voice[part] * rng.uniform(0, 0.3)

    def consonant(self, rng: np.random.Generator, rate: float) -> None:
        """A hiss, a burst after a stop, a nasal or a liquid, or none."""
        kind = rng.random()
        if kind < 0.35:
            self.fricative(rng, rng.uniform(0.04, 0.16) / rate)
            return
        if kind < 0.7:
            self._next(rng.uniform(0.02, 0.09) / rate)
            part = self._next(rng.uniform(0.006, 0.05))
            length, centre_hz = part.stop - part.start, rng.uniform(500, 4000)
            self.hiss[part] = np.linspace(1, 0.2, length) * rng.uniform(0.1, 0.7)
            self.hiss_hz[part] = 0.6 * centre_hz, 2 * centre_hz
            return
        if kind < 0.88:
            part = self._next(rng.uniform(0.03, 0.1) / rate)
            self.voice[part] = 0.35
            self.formants[part] = 270, rng.uniform(900, 1500), rng.uniform(1600, 2500)

    def fricative(self, rng: np.random.Generator, seconds: float) -> None:
        part = self._next(seconds, at_least=2)
        length = part.stop - part.start
        self.hiss[part] = np.sqrt(np.hanning(length + 2)[1:-1]) * rng.uniform(0.05, 0.5)
        self.hiss_hz[part] = HISSES_HZ[rng.integers(len(HISSES_HZ))]

    def pause(self, seconds: float) -> None:
        self._next(seconds, at_least=0)

    def _next(self, seconds: float, at_least: int = 1) -> slice:
        begin = min(N_FRAMES, self.at)
        self.at += max(at_least, int(seconds * FRAMES_PER_SECOND))
        return slice(begin, min(N_FRAMES, self.at))


def speech(rng: np.random.Generator, n_syllables: int | None = None) -> Samples:
    """Words of one voice; so many syllables, or all the time."""
    utterance = Utterance(rng.uniform(75, 330), rng.uniform(0.82, 1.25))
    rate, contour = rng.uniform(0.7, 1.6), rng.uniform(0.9, 1.3)
    utterance.pause(rng.uniform(0, 0.1))
    said = in_word = 0
    left = rng.integers(1, 5)
    while utterance.at < N_FRAMES and said != n_syllables:
        utterance.consonant(rng, rate)
        falls = float(np.interp(in_word, (0, 8), (contour, 1)))
        utterance.vowel(rng, rng.uniform(0.05, 0.28) / rate, falls)
        if rng.random() < 0.1:
            utterance.fricative(rng, rng.uniform(0.05, 0.18))
        said, in_word, left = said + 1, in_word + 1, left - 1
        if not left:
            left = rng.integers(1, 5)
            if rng.random() < 0.5:
                utterance.pause(rng.exponential(0.2))
                in_word = 0
    return spoken(utterance, rng)


def word(rng: np.random.Generator) -> Samples:
    """One to four syllables, without the silence around them."""
    said = speech(rng, int(rng.integers(1, 5)))
    loud = np.flatnonzero(np.abs(said) > 0.02 * np.abs(said).max())
    return said[loud[0] : loud[-1] + 1]


def babble(rng: np.random.Generator) -> Samples:
    """Several voices at once."""
    out = np.zeros(N_SAMPLES)
    for _ in range(rng.integers(3, 9)):
        out += rng.uniform(0.2, 1) * np.roll(unit(speech(rng)), rng.integers(N_SAMPLES))
    return out


def spoken(utterance: Utterance, rng: np.random.Generator) -> Samples:
    """The sound of it (S,)."""
    noise = rng.standard_normal(N_FRAMES * HOP_LENGTH)
    source = 0.3 * noise if rng.random() < 0.08 else _pulses(utterance, rng)  # or a whisper
    source = source * _per_sample(utterance.voice) + 0.05 * noise * _per_sample(utterance.breath)
    spectra = short_spectra(source)
    frames = np.clip(np.arange(len(spectra)) - N_FFT // HOP_LENGTH, 0, N_FRAMES - 1)
    voiced = from_spectra(spectra * _formant_gains(utterance, frames, rng), len(source))

    hz = np.fft.rfftfreq(N_FFT, 1 / RATE_HZ)
    low_hz, high_hz = utterance.hiss_hz[frames].T[..., None]
    passed = 1 / (1 + (low_hz / np.maximum(hz, 1)) ** 6) / (1 + (hz / high_hz) ** 6)
    hiss = short_spectra(noise) * passed * utterance.hiss[frames][:, None]
    hissed = unit(from_spectra(hiss, len(source)))
    share = np.mean(utterance.hiss**2) / max(np.mean(utterance.voice**2), 1e-3)
    out = np.zeros(N_SAMPLES)
    add(out, 0, unit(voiced) + rng.uniform(0.1, 0.9) * np.sqrt(share) * hissed)
    return out


def _pulses(utterance: Utterance, rng: np.random.Generator) -> Samples:
    """What leaves the glottis: its flow's slope, with a pitch that is never quite steady."""
    pitch = np.where(utterance.pitch > 0, utterance.pitch, utterance.pitch_hz)
    wander = np.convolve(rng.standard_normal(N_FRAMES), np.ones(5) / 5, "same")
    hz = _per_sample(pitch * (1 + 0.015 * wander))
    if rng.random() < 0.3:
        hz *= 1 + 0.02 * np.sin(2 * np.pi * rng.uniform(4, 7) * np.arange(len(hz)) / RATE_HZ)
    place, is_open = np.cumsum(hz) / RATE_HZ % 1, rng.uniform(0.4, 0.75)
    flow = np.maximum(0, place**2 * (is_open - place)) * 6.75 / is_open**3
    slope = np.diff(flow, prepend=0) * RATE_HZ / hz / 6
    tilt = rng.uniform(0, 0.8)
    return np.asarray(lfilter([1 - tilt], [1, -tilt], slope))


def _formant_gains(utterance: Utterance, frames: Samples, rng: np.random.Generator) -> Samples:
    """Of five resonances, the lower three of them moving; (frames, bins)."""
    smooth = [
        np.convolve(np.pad(each, 4, "edge"), np.ones(9) / 9, "valid")
        for each in utterance.formants.T
    ]
    higher = [np.full(N_FRAMES, hz * utterance.size) for hz in HIGHER_FORMANTS_HZ]
    s = 2j * np.pi * np.fft.rfftfreq(N_FFT, 1 / RATE_HZ)
    gains = 1
    for formant, width in zip([*smooth, *higher], WIDTHS_HZ * rng.uniform(0.8, 1.6), strict=True):
        pole = 2j * np.pi * formant[frames][:, None] - np.pi * width
        gains = gains * np.abs(pole) ** 2 / ((s - pole) * (s - pole.conj()))
    return gains


def _per_sample(track: Samples) -> Samples:
    return (
        np.repeat(track, HOP_LENGTH)
        if len(track) < 2
        else np.interp(
            np.arange(len(track) * HOP_LENGTH), np.arange(len(track)) * HOP_LENGTH, track
        )
    )
