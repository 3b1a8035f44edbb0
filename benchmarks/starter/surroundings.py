"""Sounds of animals, machines, games and weather, and what broken recorders write.

Axes: S samples.
"""

from __future__ import annotations

import numpy as np

from benchmarks.starter.waves import (
    N_SAMPLES,
    RATE_HZ,
    SECONDS,
    Samples,
    add,
    band,
    coloured,
    decay,
    hit,
    low_pass,
    saw,
    sine,
    stairs,
    time_s,
    tone,
    unit,
)
from trainer.demo.synthesis import VOICES, synthesise

STRANGE_VOICES = sorted(set(VOICES) - {"dog_bark"})  # ESC-10 has dogs of its own


# --- animals


def bird(rng: np.random.Generator) -> Samples:
    """A phrase of whistles that bend, said again and again."""
    phrase = [
        (rng.uniform(0.02, 0.3), rng.uniform(1500, 7500, 3), rng.uniform(0, 0.12), rng.random())
        for _ in range(rng.integers(1, 8))
    ]
    out, at = np.zeros(N_SAMPLES), rng.uniform(0, 1)
    while at < SECONDS:
        for seconds, bends, rest, loud in phrase:
            length = int(seconds * RATE_HZ)
            hz = np.interp(np.linspace(0, 2, length), [0, 1, 2], bends)
            trill = 1 + 0.05 * loud * np.sin(2 * np.pi * rng.uniform(20, 60) * time_s(length))
            add(out, int(at * RATE_HZ), sine(hz * trill) * np.hanning(length) * (0.3 + loud))
            at += seconds + rest
        at += rng.uniform(0.2, 2)
    return out


def call(rng: np.random.Generator) -> Samples:
    """One animal's cry, a harmonic tone that glides, with a rough edge; up to four times."""
    out, length = np.zeros(N_SAMPLES), int(rng.uniform(0.08, 1.2) * RATE_HZ)
    bends = rng.uniform(120, 2500) * 2 ** rng.uniform(-0.8, 0.8, 4)
    hz = np.interp(np.linspace(0, 3, length), range(4), bends)
    cry, slope = np.zeros(length), rng.uniform(0.3, 2)
    for n in range(1, 12):
        if n * hz.max() < RATE_HZ / 2:
            cry += sine(n * hz) * n**-slope
    cry *= 1 + rng.uniform(0, 1) * np.sin(2 * np.pi * rng.uniform(15, 90) * time_s(length))
    cry += rng.uniform(0, 0.4) * rng.standard_normal(length)
    cry *= np.hanning(length) ** rng.uniform(0.2, 1)
    at = rng.uniform(0, 0.5)
    for _ in range(rng.integers(1, 5)):
        add(out, int(at * RATE_HZ), cry * rng.uniform(0.5, 1))
        at += length / RATE_HZ + rng.exponential(0.4)
    return out


def insects(rng: np.random.Generator) -> Samples:
    """High trills without end."""
    out = 0.02 * rng.standard_normal(N_SAMPLES)
    for _ in range(rng.integers(1, 4)):
        rate, depth = rng.uniform(8, 80), rng.uniform(1, 4)
        pulses = (0.5 + 0.5 * np.sin(2 * np.pi * rate * time_s())) ** depth
        low = rng.uniform(2500, 8500)
        out += rng.uniform(0.3, 1) * pulses * unit(band(rng, N_SAMPLES, low, low * 1.1))
    return out


# --- machines


def hum(rng: np.random.Generator) -> Samples:
    hz, slope = rng.choice([50.0, 60.0, rng.uniform(30, 400)]), rng.uniform(0.3, 2)
    partials = np.arange(1, 25) ** -slope * rng.uniform(0, 1, 24)
    return tone(hz, SECONDS, partials, 1e9, 0.01)


def machine(rng: np.random.Generator) -> Samples:
    """A fan, a pump, a press: noise of a band and a hum that swell at one rate."""
    rate = rng.uniform(0.3, 8)
    swells = 1 + rng.uniform(0, 1) * np.sin(2 * np.pi * rate * time_s())
    low = rng.uniform(50, 2000)
    noise_of_it = unit(band(rng, N_SAMPLES, low, low * rng.uniform(2, 10)))
    return (noise_of_it * swells + rng.uniform(0, 2) * unit(hum(rng))) * (0.8 + 0.2 * swells)


def engine(rng: np.random.Generator) -> Samples:
    """Cylinders that fire, faster and slower."""
    turns = rng.uniform(15, 90) * rng.uniform(0.7, 1.4, 6)
    hz = np.interp(time_s(), np.linspace(0, SECONDS, 6), turns)
    place = np.cumsum(hz) / RATE_HZ % 1
    fired = np.exp(-place * rng.uniform(3, 12)) * (1 + 0.3 * rng.standard_normal(N_SAMPLES))
    sound = unit(low_pass(fired + 0.2 * saw(2 * hz), rng.uniform(150, 900), order=2))
    air = band(rng, N_SAMPLES, rng.uniform(100, 900), rng.uniform(1000, 4000))
    return sound + rng.uniform(0, 0.3) * unit(air)


def traffic(rng: np.random.Generator) -> Samples:
    """Cars that pass."""
    out = 0.1 * unit(band(rng, N_SAMPLES, 40, rng.uniform(200, 800)))
    for _ in range(rng.integers(1, 4)):
        far = (time_s() - rng.uniform(0, SECONDS)) / rng.uniform(0.4, 2)
        tyres = unit(band(rng, N_SAMPLES, rng.uniform(60, 400), rng.uniform(600, 3500)))
        out += np.exp(-(far**2)) * (tyres + rng.choice([0, 0.5]) * unit(engine(rng)))
    return out


def knocks(rng: np.random.Generator) -> Samples:
    """Steps, keys, hammers: blows in no strict time."""
    out, at, gap = np.zeros(N_SAMPLES), rng.uniform(0, 0.5), rng.uniform(0.1, 0.9)
    length, fall = int(rng.uniform(0.02, 0.3) * RATE_HZ), rng.uniform(0.005, 0.08)
    rings = rng.uniform(80, 3500, rng.integers(1, 5))
    while at < SECONDS - 0.05:
        low, high = rng.uniform(50, 2000), rng.uniform(2500, 9000)
        blow = rng.uniform(0.2, 2) * band(rng, length, low, high) * decay(length, fall / 2)
        for hz in rings:
            blow += sine(np.full(length, hz * rng.uniform(0.97, 1.03))) * decay(length, fall)
        add(out, int(at * RATE_HZ), blow * rng.uniform(0.3, 1))
        at += gap * rng.uniform(0.4, 1.8)
    return out


def city(rng: np.random.Generator) -> Samples:
    """Horns, sirens, drills, engines and music, as the demo makes them."""
    label = STRANGE_VOICES[rng.integers(len(STRANGE_VOICES))]
    return synthesise(label, rng, RATE_HZ, SECONDS)[:N_SAMPLES].astype(np.float64)


# --- games and signals


def game(rng: np.random.Generator) -> Samples:
    """Blips, lasers and coins of a game."""
    out = np.zeros(N_SAMPLES)
    for time in np.sort(rng.uniform(0, 3, rng.integers(1, 6))):
        length = int(rng.uniform(0.04, 0.8) * RATE_HZ)
        steps = np.geomspace(*rng.uniform(80, 4000, 2), rng.integers(1, 9))
        glides = rng.random() < 0.5
        hz = np.geomspace(*rng.uniform(80, 5000, 2), length) if glides else stairs(steps, length)
        wave = saw(hz) if rng.random() < 0.4 else np.sign(sine(hz))
        wave = sine(hz) if rng.random() < 0.3 else wave
        add(out, int(time * RATE_HZ), wave * decay(length, rng.uniform(0.05, 1)))
    return out


def impact(rng: np.random.Generator) -> Samples:
    """Blasts, doors, falls: noise that dies away, with a thump or a ring in it."""
    out = np.zeros(N_SAMPLES)
    for time in np.sort(rng.uniform(0, 3, rng.integers(1, 5))):
        length, low = int(rng.uniform(0.1, 2.0) * RATE_HZ), rng.uniform(20, 1500)
        blast = hit(rng, length, low, low * rng.uniform(2, 12), rng.uniform(0.03, 0.6))
        thump = sine(np.geomspace(rng.uniform(60, 900), rng.uniform(30, 300), length))
        blast += rng.uniform(0, 1.5) * thump * decay(length, rng.uniform(0.03, 0.3))
        add(out, int(time * RATE_HZ), blast * rng.uniform(0.3, 1))
    return out


def beeps(rng: np.random.Generator) -> Samples:
    """Telephones, alarms, pure tones."""
    hz, every = rng.uniform(200, 4000, rng.integers(1, 3)), rng.uniform(0.05, 1.5)
    keyed = (time_s() % every) < every * rng.uniform(0.2, 1.0)
    return np.asarray(sum(sine(np.full(N_SAMPLES, each)) for each in hz) * keyed)


def sweeps(rng: np.random.Generator) -> Samples:
    out = np.zeros(N_SAMPLES)
    for _ in range(rng.integers(1, 8)):
        length = int(rng.uniform(0.1, 2.0) * RATE_HZ)
        hz = np.geomspace(*rng.uniform(100, 8000, 2), length)
        add(out, rng.integers(N_SAMPLES - length), sine(hz) * np.hanning(length))
    return out


# --- weather, and nothing


def noise(rng: np.random.Generator) -> Samples:
    if rng.random() < 0.6:
        return coloured(rng)
    low = rng.uniform(50, 5000)
    return band(rng, N_SAMPLES, low, low * rng.uniform(1.2, 5)) + 0.02 * unit(coloured(rng))


def wind(rng: np.random.Generator) -> Samples:
    gusts = np.interp(time_s(), np.linspace(0, SECONDS, 14), rng.uniform(0, 1, 14) ** 2)
    return band(rng, N_SAMPLES, 20, rng.uniform(150, 900)) * (0.05 + gusts)


def nothing(rng: np.random.Generator) -> Samples:
    """Zeros, one value, one sample, a click, a tone's begin, or the last bits of a recorder."""
    out, length = np.zeros(N_SAMPLES), int(RATE_HZ * rng.uniform(0.002, 1))
    match rng.integers(6):
        case 1:
            out += rng.uniform(-1, 1)
        case 2:
            out[rng.integers(N_SAMPLES)] = 1
        case 3:
            out[: length // 10] = rng.standard_normal(length // 10)
        case 4:
            out[:length] = sine(np.full(length, rng.uniform(50, 5000)))
        case 5:
            out = unit(coloured(rng)) * 2**-15 * rng.uniform(0.3, 3)
            out = np.round(out * 2**15) / 2**15 if rng.random() < 0.5 else out
    return out
