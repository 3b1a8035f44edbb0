"""Negatives: sounds of none of ESC-10's kinds, which the starter learns to call `none`.

Made from numbers, and from ESC-10's clips (see `counterfeits`). Each goes through a room and a
recorder of its own. The same seed makes the same sounds.

Axes: S samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from benchmarks.starter import music, speech, surroundings
from benchmarks.starter.counterfeits import counterfeit
from benchmarks.starter.waves import (
    N_SAMPLES,
    RATE_HZ,
    Samples,
    add,
    coloured,
    in_a_room,
    low_pass,
    peak,
    unit,
)
from storage.values.decision import NONE

Kind = Callable[[np.random.Generator], Samples]

SHARE_OF_SHORT = 0.35  # of the kinds that go on all the time


class Clip(NamedTuple):
    """A clip of ESC-10, or a negative: a row of the table that is learned from."""

    path: Path
    label: str
    fold: int
    group: str


def make_negatives(folder: Path, clips: Sequence[Clip], per_fold: int, seed: int) -> list[Clip]:
    """Writes so many from numbers for each fold, and one of each clip."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for fold in sorted({clip.fold for clip in clips}):
        for number in range(per_fold):
            rng = np.random.default_rng([seed, fold, number])
            kind = KINDS[(number + fold * per_fold) % len(KINDS)]
            name = f"{kind.__name__}-{fold}-{number:03d}"
            path = _write(folder / name, RECORDERS.get(kind, in_the_field)(kind(rng), rng), rng)
            made.append(Clip(path, NONE, fold, name))
    for number, clip in enumerate(clips):
        rng = np.random.default_rng([seed, number])
        way, sound = counterfeit(clip.path, clip.label, rng)
        path = _write(folder / f"{way}-{clip.path.stem}", at_some_level(sound, rng), rng)
        made.append(Clip(path, NONE, clip.fold, clip.group))
    return made


def _write(stem: Path, sound: Samples, rng: np.random.Generator) -> Path:
    """ESC-10's files went through Vorbis: what it leaves behind must not tell them apart."""
    path = Path(f"{stem}.{'flac' if rng.random() < 0.3 else 'ogg'}")
    soundfile.write(path, sound, RATE_HZ)
    return path


# --- kinds that are made of others


def speech_in_noise(rng: np.random.Generator) -> Samples:
    others: tuple[Kind, ...]
    others = (surroundings.noise, music.band_music, music.melody, surroundings.machine)
    other = unit(others[rng.integers(len(others))](rng))
    return unit(speech.speech(rng)) + rng.uniform(0.05, 1) * other


def two(rng: np.random.Generator) -> Samples:
    """Two of the others at once."""
    out = np.zeros(N_SAMPLES)
    for _ in range(2):
        add(out, 0, rng.uniform(0.2, 1) * unit(KINDS[rng.integers(len(KINDS) - 1)](rng)))
    return out


def event(rng: np.random.Generator) -> Samples:
    """A short part of another one, from where it is loud."""
    sound = EVENTS[rng.integers(len(EVENTS))](rng)
    return part_of(sound, np.exp(rng.uniform(np.log(0.08), np.log(2))), rng)


def part_of(sound: Samples, seconds: float, rng: np.random.Generator) -> Samples:
    loud = np.flatnonzero(np.abs(sound) > 0.2 * np.abs(sound).max(initial=0))
    before = int(rng.uniform(0, 0.1) * RATE_HZ)
    first = max(0, int(rng.choice(loud)) - before) if len(loud) else 0
    part = sound[first : first + int(seconds * RATE_HZ)].copy()
    fade = min(len(part), int(rng.uniform(0.001, 0.1) * RATE_HZ))
    part[len(part) - fade :] *= np.linspace(1, 0, fade)
    return part


# --- recorders


def in_the_field(sound: Samples, rng: np.random.Generator) -> Samples:
    """In a room or not, with effects, noise and a level; some of them short."""
    sound = with_effects(sound - sound.mean(), rng)
    if rng.random() < 0.35:
        sound = in_a_room(sound, rng)
    if rng.random() < 0.3:
        sound = low_pass(sound, rng.uniform(2500, 8000))
    if rng.random() < 0.5:
        sound = peak(sound) + 10 ** (-rng.uniform(20, 70) / 20) * unit(coloured(rng))
    if rng.random() < SHARE_OF_SHORT:
        part = part_of(sound, np.exp(rng.uniform(np.log(0.15), np.log(4.5))), rng)
        sound = np.zeros(N_SAMPLES)
        add(sound, int(rng.choice([0, rng.uniform(0, 1)]) * RATE_HZ), part)
    return at_some_level(sound, rng)


def as_a_short_file(sound: Samples, rng: np.random.Generator) -> Samples:
    """The noise of a recorder before and behind it; then the file ends, or digital silence begins.

    Sneezes and barks of ESC-10 end so: it must not say that a sound is one of them.
    """
    around = (int(RATE_HZ * rng.exponential(0.25)) for _ in range(2))
    sound = peak(np.pad(with_effects(sound, rng), tuple(around))[:N_SAMPLES])
    if rng.random() < 0.25:
        sound = np.pad(sound, (0, N_SAMPLES - len(sound)))
    if rng.random() < 0.5:
        sound = peak(in_a_room(sound, rng))
    if rng.random() < 0.75:
        floor = unit(coloured(rng))
        if rng.random() < 0.4:
            floor = unit(floor + rng.uniform(0.2, 3) * unit(surroundings.hum(rng)))
        sound = sound + 10 ** (-rng.uniform(22, 75) / 20) * floor[: len(sound)]
    if rng.random() < 0.3:
        sound = low_pass(sound, rng.uniform(2500, 8000))
    if rng.random() < 0.5:
        sound = np.pad(sound, (0, N_SAMPLES - len(sound)))
    return at_some_level(sound, rng)


def untouched(sound: Samples, rng: np.random.Generator) -> Samples:
    """Of any length, so that no two files of zeros are the same."""
    part = sound[: int(rng.uniform(0.02, 1) * N_SAMPLES)]
    return at_some_level(part, rng) if rng.random() < 0.5 else np.clip(part, -1, 1)


def at_some_level(sound: Samples, rng: np.random.Generator) -> Samples:
    return 10 ** (-rng.uniform(0.2, 30) / 20) * peak(sound)


def with_effects(sound: Samples, rng: np.random.Generator) -> Samples:
    """Mostly none: distortion, an echo, a flanger, a tone control."""
    if rng.random() < 0.15:
        sound = np.tanh(rng.uniform(2, 20) * peak(sound))
    if rng.random() < 0.12:
        delay = int(RATE_HZ * rng.uniform(0.001, 0.35))
        sound = sound + rng.uniform(-0.9, 0.9) * np.pad(sound, (delay, 0))[: len(sound)]
    if rng.random() < 0.1:
        at = np.arange(len(sound))
        sways = np.sin(2 * np.pi * rng.uniform(0.05, 0.5) * at / RATE_HZ)
        sound = sound + 0.9 * np.interp(at - RATE_HZ * (0.004 + 0.0035 * sways), at, sound)
    if rng.random() < 0.2:
        place = np.linspace(0, 1, len(sound) // 2 + 1) ** 0.4
        gains = np.interp(place, np.linspace(0, 1, 6), 10 ** (rng.uniform(-15, 15, 6) / 20))
        sound = np.fft.irfft(np.fft.rfft(sound) * gains, len(sound))
    return sound


EVENTS: tuple[Kind, ...] = (
    *(music.melody, music.plucked, music.bells, music.drums, music.chords),
    *(surroundings.bird, surroundings.call, surroundings.game, surroundings.impact),
    *(surroundings.sweeps, surroundings.knocks, surroundings.city, surroundings.beeps),
    *(surroundings.engine, surroundings.insects),
)
# One after the other; `two` comes last.
KINDS: tuple[Kind, ...] = (
    *(speech.word, event, speech.speech, music.bright_song, surroundings.call, speech.word),
    *(surroundings.bird, event, music.melody, speech.word, surroundings.noise, speech.speech),
    *(event, music.drums, speech.word, surroundings.hum, music.song, surroundings.city),
    *(speech.word, surroundings.machine, event, surroundings.nothing, music.bright_song),
    *(speech.word, speech_in_noise, surroundings.wind, event, surroundings.bird, speech.word),
    *(surroundings.insects, surroundings.call, event, music.plucked, speech.word, music.chords),
    *(surroundings.game, surroundings.sweeps, speech.word, surroundings.engine, speech.speech),
    *(event, surroundings.traffic, surroundings.impact, speech.word, surroundings.knocks),
    *(speech.babble, surroundings.beeps, event, speech.word, music.band_music, music.bells),
    *(surroundings.nothing, event, music.bright_song, surroundings.call, speech.word, two),
)
RECORDERS = {
    speech.word: as_a_short_file,
    event: as_a_short_file,
    surroundings.nothing: untouched,
}
