"""Music-like sounds: notes, chords, drums, and songs made of them.

Axes: S samples.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from benchmarks.starter.speech import speech
from benchmarks.starter.waves import (
    N_SAMPLES,
    RATE_HZ,
    SECONDS,
    Samples,
    add,
    band,
    decay,
    hit,
    low_pass,
    saw,
    sine,
    swell,
    time_s,
    tone,
    unit,
)


def melody(rng: np.random.Generator) -> Samples:
    """Notes of one instrument in one key, some of them together."""
    out, beat = np.zeros(N_SAMPLES), rng.uniform(0.12, 0.6)
    root = rng.uniform(80, 500)
    partials = np.arange(1, rng.integers(4, 20)) ** -rng.uniform(0.5, 2)
    fall = rng.uniform(0.1, 1.5)
    scale = rng.choice([0, 2, 3, 4, 5, 7, 8, 9, 11, 12, 14, 16], 6)
    for time in np.arange(rng.uniform(0, 0.3), SECONDS - 0.05, beat):
        for _ in range(rng.integers(0, 4)):
            hz = root * 2 ** (rng.choice(scale) / 12)
            note = tone(hz, min(4 * fall, 2.5), partials, fall, rng.uniform(0.002, 0.08))
            add(out, int(time * RATE_HZ), note * rng.uniform(0.3, 1))
    return out


def plucked(rng: np.random.Generator) -> Samples:
    """A string: Karplus and Strong, "Digital synthesis of plucked-string timbres" (1983)."""
    out, beat = np.zeros(N_SAMPLES), rng.uniform(0.1, 0.5)
    root, scale = rng.uniform(60, 500), rng.choice(24, 7, replace=False)
    loss = rng.uniform(0.98, 0.999)
    for time in np.arange(0, SECONDS - 0.1, beat):
        if rng.random() < 0.2:
            continue
        period = int(RATE_HZ / (root * 2 ** (rng.choice(scale) / 12)))
        pluck = np.zeros(3 * RATE_HZ // 2)
        pluck[:period] = rng.uniform(-1, 1, period)
        loop = np.r_[1, np.zeros(period - 1), -loss / 2, -loss / 2]
        add(out, int(time * RATE_HZ), lfilter([1], loop, pluck) * rng.uniform(0.3, 1))
    return out


def chords(rng: np.random.Generator) -> Samples:
    """Strings and organs: chords that swell, with vibrato."""
    out, root, at = np.zeros(N_SAMPLES), rng.uniform(60, 350), 0
    while at < N_SAMPLES:
        length = int(rng.uniform(0.4, 3) * RATE_HZ)
        notes = rng.choice([0, 3, 4, 5, 7, 9, 12, 16, 19, 24], rng.integers(1, 6), replace=False)
        for note in notes:
            vibrato = 0.006 * rng.random() * np.sin(2 * np.pi * rng.uniform(4, 7) * time_s(length))
            hz = root * 2 ** (note / 12) * (1 + vibrato)
            wave = saw(hz) if rng.random() < 0.7 else np.sign(sine(hz))
            wave = low_pass(wave, rng.uniform(400, 5000), order=2)
            add(out, at, wave * swell(length, rng.uniform(0.01, 0.3)))
        at += length
    return out


def drums(rng: np.random.Generator) -> Samples:
    """A pattern of one to four drums; half of the time something plays along."""
    out = np.zeros(N_SAMPLES)
    beat = 60 / rng.uniform(70, 190) / rng.choice([1, 2, 4])
    for _ in range(rng.integers(1, 5)):
        length, low = int(rng.uniform(0.03, 0.5) * RATE_HZ), rng.uniform(60, 7000)
        drum = hit(rng, length, low, low * rng.uniform(1.3, 8), rng.uniform(0.01, 0.2))
        if rng.random() < 0.5:
            hz = np.geomspace(rng.uniform(100, 900), rng.uniform(40, 400), length)
            drum *= rng.uniform(0, 1)
            drum += sine(hz) * decay(length, rng.uniform(0.02, 0.3))
        pattern = rng.integers(2, size=16) * rng.uniform(0.2, 1, 16)
        for number, time in enumerate(np.arange(0, SECONDS, beat)):
            add(out, int(time * RATE_HZ), drum * pattern[number % 16])
    if rng.random() < 0.5:
        out = unit(out) + rng.uniform(0.1, 2) * unit(melody(rng))
    return out


def band_music(rng: np.random.Generator) -> Samples:
    """Drums, a bass and chords in a steady beat."""
    out, beat = 0.7 * melody(rng), 60 / rng.uniform(80, 180)
    for number, time in enumerate(np.arange(0, SECONDS - 0.3, beat / 2)):
        at = int(time * RATE_HZ)
        if number % 4 == 0:
            fall = np.geomspace(160, 45, RATE_HZ // 5)
            add(out, at, sine(fall) * decay(len(fall), 0.06))
        if number % 4 == 2:
            add(out, at, 0.6 * band(rng, RATE_HZ // 6, 300, 8000) * decay(RATE_HZ // 6, 0.05))
        add(out, at, 0.2 * band(rng, RATE_HZ // 15, 6000, 10000) * decay(RATE_HZ // 15, 0.02))
    return out


def song(rng: np.random.Generator) -> Samples:
    """Two to four of the others, or a voice, together."""
    parts = (drums, plucked, chords, melody, band_music, speech)
    out = np.zeros(N_SAMPLES)
    for _ in range(rng.integers(2, 5)):
        out += unit(parts[rng.integers(len(parts))](rng)) * rng.uniform(0.2, 1)
    return out


def bright_song(rng: np.random.Generator) -> Samples:
    """A song with cymbals, and now and then with a hiss that comes and goes."""
    out, cymbal = unit(song(rng)), np.zeros(N_SAMPLES)
    beat = 60 / rng.uniform(70, 180) / rng.choice([2, 4])
    length = int(rng.uniform(0.03, 0.4) * RATE_HZ)
    stroke = hit(rng, length, rng.uniform(3000, 7000), 10900, rng.uniform(0.01, 0.2))
    for time in np.arange(0, SECONDS, beat):
        if rng.random() < 0.85:
            add(cymbal, int(time * RATE_HZ), stroke * rng.uniform(0.4, 1))
    out += rng.uniform(0.05, 0.8) * unit(cymbal)
    if rng.random() < 0.4:
        comes = 1 + np.sin(2 * np.pi * rng.uniform(0.05, 2) * time_s())
        hiss = unit(band(rng, N_SAMPLES, rng.uniform(500, 4000), 10900))
        out += rng.uniform(0.05, 0.5) * hiss * comes
    return out


def bells(rng: np.random.Generator) -> Samples:
    out = np.zeros(N_SAMPLES)
    ratios, hz = 1 + np.cumsum(rng.uniform(0.2, 0.9, 6)), rng.uniform(150, 1500)
    for time in np.sort(rng.uniform(0, SECONDS - 0.5, rng.integers(1, 8))):
        strike = sum(tone(hz * r, 2.5, (1.0,), rng.uniform(0.2, 1.2), 0.002) for r in ratios)
        add(out, int(time * RATE_HZ), np.asarray(strike))
    return out
