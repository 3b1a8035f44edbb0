"""The recordings of a benchmark: the same sounds in every format, and one long recording."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import soundfile

from daemon.benchmark.files import SUBTYPES, make_sounds, write_sound

LONG_RATE_HZ = 44_100
LONG_MINUTES_OF_THEIR_OWN = 7
CLIP_SECONDS = 5.0


def recordings(folder: Path, n_files: int, n_others: int) -> tuple[dict[str, list[Path]], str]:
    """By suffix `n_files` as Ogg and as WAV, and the first `n_others` of them in other formats."""
    (folder / "ogg").mkdir()
    esc10 = os.environ.get("ESC10_DIR")
    if esc10:
        found = sorted(Path(esc10, "audio").glob("*.ogg"))[:n_files]
        oggs = [Path(shutil.copy(file, folder / "ogg")) for file in found]
    else:
        oggs = make_sounds(folder / "ogg", "ogg", n_files, CLIP_SECONDS)
    sounds = {"ogg": oggs}
    for suffix in SUBTYPES:
        if suffix != "ogg":
            some = oggs if suffix == "wav" else oggs[:n_others]
            sounds[suffix] = _written_anew(folder / suffix, suffix, some)
    what = "ESC-10 clips of 5 s" if esc10 else "made sounds of 5 s"
    return sounds, f"{len(oggs)} {what}"


def long_recording(
    path: Path, minutes: int, rate_hz: int = LONG_RATE_HZ, container: str = "WAV", seed: int = 0
) -> None:
    """Noise that no memory should notice; a few minutes of it, over and over."""
    chance = np.random.default_rng(seed)
    noise = 0.1 * chance.standard_normal((LONG_MINUTES_OF_THEIR_OWN, 60 * rate_hz))
    with soundfile.SoundFile(path, "w", rate_hz, 1, "PCM_16", format=container) as file:
        for minute in range(minutes):
            file.write(noise[minute % len(noise)])


def _written_anew(folder: Path, suffix: str, files: list[Path]) -> list[Path]:
    folder.mkdir()
    written = [folder / f"{file.stem}.{suffix}" for file in files]
    for file, path in zip(files, written, strict=True):
        samples, rate_hz = soundfile.read(file, dtype="float32")
        write_sound(path, samples, rate_hz)
    return written
