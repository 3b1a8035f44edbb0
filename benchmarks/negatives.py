"""Sounds of none of ESC-10's kinds, made from numbers: what the starter learns to call `none`.

Speech-like, music-like and bird-like sounds, machines, insects, bells, tones, hums, noises, wind
and silence, each through a room and a recorder of its own. The same seed makes the same sounds.

Axes: S samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

from storage.values.decision import NONE
from trainer.demo.synthesis import VOICES, synthesise

Samples = npt.NDArray[np.float64]
Kind = Callable[[np.random.Generator], Samples]

RATE_HZ, SECONDS = 22_050, 5.0
N_SAMPLES = round(RATE_HZ * SECONDS)
STRANGE_VOICES = sorted(set(VOICES) - {"dog_bark"})  # ESC-10 has dogs of its own
# Of people of several sizes.
VOWELS_HZ = (
    *((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480)),
    *((850, 1220, 2810), (310, 2790, 3310), (370, 950, 2670), (610, 2330, 2990)),
    *((570, 840, 2410), (660, 1720, 2410), (440, 1020, 2240), (490, 1350, 1690)),
)


def make_negatives(folder: Path, folds: Sequence[int], per_fold: int, seed: int) -> list[list[str]]:
    """Writes the files; returns their rows: path, label, fold."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for fold in folds:
        for number in range(per_fold):
            rng = np.random.default_rng([seed, fold, number])
            kind = KINDS[(number + fold * per_fold) % len(KINDS)]
            path = folder / f"{kind.__name__.strip('_')}-{fold}-{number:03d}.{_suffix(rng)}"
            soundfile.write(path, _recorded(kind(rng), rng), RATE_HZ)
            rows.append([str(path), NONE, str(fold)])
    return rows


def _suffix(rng: np.random.Generator) -> str:
    """ESC-10's files went through Vorbis: what it leaves behind must not tell them apart."""
    return "flac" if rng.random() < 0.3 else "ogg"


def _recorded(sound: Samples, rng: np.random.Generator) -> Samples:
    """Through a room, a microphone and a level; half of them short, with silence around.

    Sneezes and barks of ESC-10 are, and silence must not say that it is one of them.
    """
    sound = sound - sound.mean()
    if rng.random() < 0.4:
        decay = np.exp(-np.arange(RATE_HZ // 2) / (RATE_HZ * rng.uniform(0.02, 0.2)))
        room = rng.standard_normal(len(decay)) * decay
        room[0] = np.abs(room).sum() * rng.uniform(0.05, 0.3)
        sound = fftconvolve(sound, room)[:N_SAMPLES]
    if rng.random() < 0.3:
        sound = sosfilt(butter(4, rng.uniform(2500, 8000), fs=RATE_HZ, output="sos"), sound)
    sound = sound / max(np.abs(sound).max(), 1e-9)
    if rng.random() < 0.6:
        sound = sound + 10 ** (-rng.uniform(20, 60) / 20) * _unit(_coloured(rng))
    if rng.random() < 0.55:
        sound = _short(sound, rng)
    peak = 10 ** (-rng.uniform(0.5, 30) / 20)
    return np.asarray(sound * peak / max(np.abs(sound).max(), 1e-9))


def _short(sound: Samples, rng: np.random.Generator) -> Samples:
    """Some of it, from where it is loud, at the beginning or a little later."""
    length = int(RATE_HZ * np.exp(rng.uniform(np.log(0.15), np.log(4.5))))
    loud = np.flatnonzero(np.abs(sound) > 0.2 * np.abs(sound).max(initial=0))
    first = int(rng.choice(loud)) if len(loud) else 0
    first = max(0, min(first - int(rng.uniform(0, 0.1) * RATE_HZ), N_SAMPLES - length))
    part = sound[first : first + length].copy()
    ramp = min(len(part), int(rng.uniform(0.001, 0.05) * RATE_HZ))
    part[len(part) - ramp :] *= np.linspace(1, 0, ramp)
    out = np.zeros(N_SAMPLES)
    _add(out, int(rng.choice([0, rng.uniform(0, 1)]) * RATE_HZ), part)
    return out


# --- kinds


def _speech(rng: np.random.Generator) -> Samples:
    """A buzz whose pitch wanders through three moving resonances, in syllables; hisses between."""
    out = np.zeros(N_SAMPLES)
    pitch_hz, at = rng.uniform(70, 320), rng.integers(0, RATE_HZ // 2)
    buzz = rng.choice([1.0, 1.0, 1.0, 0.01])  # or a whisper
    while at < N_SAMPLES - RATE_HZ // 5:
        if rng.random() < 0.25:
            at += rng.integers(RATE_HZ // 10, RATE_HZ // 2)
        if rng.random() < 0.4:
            length = rng.integers(RATE_HZ // 20, RATE_HZ // 8)
            _add(out, at, 0.3 * _band(rng, length, rng.uniform(2000, 5000), 9500))
            at += length
        length = rng.integers(RATE_HZ // 12, RATE_HZ // 4)
        pitch = pitch_hz * np.linspace(*rng.uniform(0.8, 1.3, 2), length)
        pitch *= 1 + 0.01 * rng.standard_normal(length).cumsum() / np.sqrt(length)
        source = buzz * _saw(pitch) + 0.02 * rng.standard_normal(length)
        first, second = (np.array(VOWELS_HZ[rng.integers(len(VOWELS_HZ))]) for _ in range(2))
        half = length // 2
        spoken = np.concatenate([_formants(source[:half], first), _formants(source[half:], second)])
        _add(out, at, _unit(spoken) * np.hanning(length) * rng.uniform(0.4, 1))
        at += length
    return out


def _melody(rng: np.random.Generator) -> Samples:
    """Notes of one instrument in one key, some of them together."""
    out, beat = np.zeros(N_SAMPLES), rng.uniform(0.12, 0.6)
    root = rng.uniform(80, 500)
    partials = np.arange(1, rng.integers(4, 20)) ** -rng.uniform(0.5, 2)
    decay = rng.uniform(0.1, 1.5)
    scale = rng.choice([0, 2, 3, 4, 5, 7, 8, 9, 11, 12, 14, 16], 6)
    for time in np.arange(rng.uniform(0, 0.3), SECONDS - 0.05, beat):
        for _ in range(rng.integers(0, 4)):
            hz = root * 2 ** (rng.choice(scale) / 12)
            note = _tone(hz, min(4 * decay, 2.5), partials, decay, rng.uniform(0.002, 0.08))
            _add(out, int(time * RATE_HZ), note * rng.uniform(0.3, 1))
    return out


def _band_music(rng: np.random.Generator) -> Samples:
    """Drums, a bass and chords."""
    out, beat = 0.7 * _melody(rng), 60 / rng.uniform(80, 180)
    for number, time in enumerate(np.arange(0, SECONDS - 0.3, beat / 2)):
        at = int(time * RATE_HZ)
        if number % 4 == 0:
            fall = np.geomspace(160, 45, RATE_HZ // 5)
            _add(out, at, _sine(fall) * np.exp(-np.arange(len(fall)) / (0.06 * RATE_HZ)))
        if number % 4 == 2:
            length = RATE_HZ // 6
            _add(out, at, 0.6 * _band(rng, length, 300, 8000) * _decay(length, 0.05))
        _add(out, at, 0.2 * _band(rng, RATE_HZ // 15, 6000, 10000) * _decay(RATE_HZ // 15, 0.02))
    return out


def _bird(rng: np.random.Generator) -> Samples:
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
            trill = 1 + 0.05 * loud * np.sin(2 * np.pi * rng.uniform(20, 60) * _time_s(length))
            _add(out, int(at * RATE_HZ), _sine(hz * trill) * np.hanning(length) * (0.3 + loud))
            at += seconds + rest
        at += rng.uniform(0.2, 2)
    return out


def _insects(rng: np.random.Generator) -> Samples:
    """High trills without end."""
    out = 0.02 * rng.standard_normal(N_SAMPLES)
    for _ in range(rng.integers(1, 4)):
        rate, depth = rng.uniform(8, 80), rng.uniform(1, 4)
        pulses = (0.5 + 0.5 * np.sin(2 * np.pi * rate * _time_s())) ** depth
        low = rng.uniform(2500, 8500)
        out += rng.uniform(0.3, 1) * pulses * _unit(_band(rng, N_SAMPLES, low, low * 1.1))
    return out


def _game(rng: np.random.Generator) -> Samples:
    """Blips, lasers and coins of a game."""
    out = np.zeros(N_SAMPLES)
    for time in np.sort(rng.uniform(0, 3, rng.integers(1, 6))):
        length = int(rng.uniform(0.04, 0.8) * RATE_HZ)
        steps = np.geomspace(*rng.uniform(80, 4000, 2), rng.integers(1, 9))
        glides = rng.random() < 0.5
        hz = np.geomspace(*rng.uniform(80, 5000, 2), length) if glides else _stairs(steps, length)
        wave = _saw(hz) if rng.random() < 0.4 else np.sign(_sine(hz))
        wave = _sine(hz) if rng.random() < 0.3 else wave
        _add(out, int(time * RATE_HZ), wave * _decay(length, rng.uniform(0.05, 1)))
    return out


def _impact(rng: np.random.Generator) -> Samples:
    """Blasts, doors, falls: noise that dies away, with a thump or a ring in it."""
    out = np.zeros(N_SAMPLES)
    for time in np.sort(rng.uniform(0, 3, rng.integers(1, 5))):
        length = int(rng.uniform(0.1, 2.0) * RATE_HZ)
        low = rng.uniform(20, 1500)
        hit = _unit(_band(rng, length, low, low * rng.uniform(2, 12)))
        hit *= _decay(length, rng.uniform(0.03, 0.6))
        thump = _sine(np.geomspace(rng.uniform(60, 900), rng.uniform(30, 300), length))
        hit += rng.uniform(0, 1.5) * thump * _decay(length, rng.uniform(0.03, 0.3))
        _add(out, int(time * RATE_HZ), hit * rng.uniform(0.3, 1))
    return out


def _bells(rng: np.random.Generator) -> Samples:
    out = np.zeros(N_SAMPLES)
    ratios, hz = 1 + np.cumsum(rng.uniform(0.2, 0.9, 6)), rng.uniform(150, 1500)
    for time in np.sort(rng.uniform(0, SECONDS - 0.5, rng.integers(1, 8))):
        strike = sum(_tone(hz * r, 2.5, (1.0,), rng.uniform(0.2, 1.2), 0.002) for r in ratios)
        _add(out, int(time * RATE_HZ), np.asarray(strike))
    return out


def _beeps(rng: np.random.Generator) -> Samples:
    """Telephones, alarms, pure tones."""
    hz, every = rng.uniform(200, 4000, rng.integers(1, 3)), rng.uniform(0.05, 1.5)
    keyed = (_time_s() % every) < every * rng.uniform(0.2, 1.0)
    return np.asarray(sum(_sine(np.full(N_SAMPLES, each)) for each in hz) * keyed)


def _sweeps(rng: np.random.Generator) -> Samples:
    out = np.zeros(N_SAMPLES)
    for _ in range(rng.integers(1, 8)):
        length = int(rng.uniform(0.1, 2.0) * RATE_HZ)
        hz = np.geomspace(*rng.uniform(100, 8000, 2), length)
        _add(out, rng.integers(N_SAMPLES - length), _sine(hz) * np.hanning(length))
    return out


def _hum(rng: np.random.Generator) -> Samples:
    hz, slope = rng.choice([50.0, 60.0, rng.uniform(30, 400)]), rng.uniform(0.3, 2)
    partials = np.arange(1, 25) ** -slope * rng.uniform(0, 1, 24)
    return _tone(hz, SECONDS, partials, 1e9, 0.01)


def _machine(rng: np.random.Generator) -> Samples:
    """A fan, a pump, a press: noise of a band and a hum that swell at one rate."""
    rate = rng.uniform(0.3, 8)
    swell = 1 + rng.uniform(0, 1) * np.sin(2 * np.pi * rate * _time_s())
    low = rng.uniform(50, 2000)
    noise = _unit(_band(rng, N_SAMPLES, low, low * rng.uniform(2, 10)))
    return (noise * swell + rng.uniform(0, 2) * _unit(_hum(rng))) * (0.8 + 0.2 * swell)


def _noise(rng: np.random.Generator) -> Samples:
    if rng.random() < 0.6:
        return _coloured(rng)
    low = rng.uniform(50, 5000)
    return _band(rng, N_SAMPLES, low, low * rng.uniform(1.2, 5)) + 0.02 * _unit(_coloured(rng))


def _wind(rng: np.random.Generator) -> Samples:
    gusts = np.interp(_time_s(), np.linspace(0, SECONDS, 14), rng.uniform(0, 1, 14) ** 2)
    return _band(rng, N_SAMPLES, 20, rng.uniform(150, 900)) * (0.05 + gusts)


def _silence(rng: np.random.Generator) -> Samples:
    """Nothing, or the last bits of a recorder."""
    which = rng.integers(3)
    if which == 0:
        return np.zeros(N_SAMPLES)
    faint = _unit(_coloured(rng)) * rng.uniform(0.3, 3)
    return np.round(faint) if which == 1 else faint


def _voice(rng: np.random.Generator) -> Samples:
    """Horns, sirens, drills, engines and music, as the demo makes them."""
    label = STRANGE_VOICES[rng.integers(len(STRANGE_VOICES))]
    return synthesise(label, rng, RATE_HZ, SECONDS)[:N_SAMPLES].astype(np.float64)


def _speech_in_noise(rng: np.random.Generator) -> Samples:
    return _unit(_speech(rng)) + rng.uniform(0.1, 1) * _unit(_coloured(rng))


def _two(rng: np.random.Generator) -> Samples:
    """Two of the others at once."""
    first, second = (KINDS[rng.integers(len(KINDS) - 1)](rng) for _ in range(2))
    return _unit(first) + rng.uniform(0.2, 1) * _unit(second)


KINDS: tuple[Kind, ...] = (
    _speech,
    _melody,
    _bird,
    _noise,
    _speech_in_noise,
    _band_music,
    _hum,
    _voice,
    _machine,
    _silence,
    _bells,
    _bird,
    _speech,
    _wind,
    _insects,
    _beeps,
    _sweeps,
    _melody,
    _noise,
    _game,
    _speech,
    _impact,
    _game,
    _two,
)


# --- parts


def _time_s(length: int = N_SAMPLES) -> Samples:
    return np.arange(length) / RATE_HZ


def _sine(hz: Samples) -> Samples:
    return np.sin(2 * np.pi * np.cumsum(hz) / RATE_HZ)


def _saw(hz: Samples) -> Samples:
    return 2 * (np.cumsum(hz) / RATE_HZ % 1) - 1


def _stairs(steps: Samples, length: int) -> Samples:
    return steps[np.arange(length) * len(steps) // length]


def _decay(length: int, seconds: float) -> Samples:
    return np.exp(-_time_s(length) / seconds)


def _tone(
    hz: float, seconds: float, partials: Sequence[float] | Samples, decay: float, attack: float
) -> Samples:
    time = _time_s(int(seconds * RATE_HZ))
    waves = [
        loud * np.sin(2 * np.pi * n * hz * time)
        for n, loud in enumerate(partials, 1)
        if n * hz < RATE_HZ / 2
    ]
    return (
        np.sum([np.zeros(len(time)), *waves], axis=0)
        * np.exp(-time / decay)
        * np.clip(time / attack, 0, 1)
    )


def _formants(source: Samples, formants_hz: Samples) -> Samples:
    out = np.zeros(len(source))
    for hz, width in zip(formants_hz, (80, 100, 150), strict=True):
        radius = np.exp(-np.pi * width / RATE_HZ)
        angle = 2 * np.pi * hz / RATE_HZ
        out += lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], source)
    return out


def _band(rng: np.random.Generator, length: int, low_hz: float, high_hz: float) -> Samples:
    edges = [low_hz, min(high_hz, 0.49 * RATE_HZ)]
    if edges[0] >= edges[1]:
        edges[0] = 0.8 * edges[1]
    passes = butter(2, edges, "bandpass", fs=RATE_HZ, output="sos")
    return np.asarray(sosfilt(passes, rng.standard_normal(length)))


def _coloured(rng: np.random.Generator) -> Samples:
    """From white to brown."""
    spectrum = np.fft.rfft(rng.standard_normal(N_SAMPLES))
    hz = np.fft.rfftfreq(N_SAMPLES, 1 / RATE_HZ)
    return np.fft.irfft(spectrum * np.maximum(hz, 20.0) ** -rng.uniform(0, 1.2), N_SAMPLES)


def _unit(samples: Samples) -> Samples:
    return samples / max(float(np.sqrt(np.mean(samples**2))), 1e-9)


def _add(out: Samples, at: int, part: Samples) -> None:
    end = min(len(out), at + len(part))
    if end > at:
        out[at:end] += part[: end - at]
