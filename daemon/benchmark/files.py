"""The files of a benchmark: those that were named, each content once, or sounds made for it.

clfd answers a copy without scoring it, so copies and links would make the figures too good.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from classifier.audio.decode import DecodedAudio, Segment
from classifier.audio.soundfile_reader import BLOCK_SAMPLES
from classifier.workers.pool import DecodePool
from classifier.workers.process import usable_cores
from daemon.errors import DaemonError
from daemon.intake.scanner import Inbox
from storage.home.safe_open import file_digest
from storage.settings.schema import Settings

TRIED_RATE_HZ, TRIED_SECONDS, TIMEOUT_SECONDS = 8000, 30, 10.0  # of a recording, by a worker
MOST_BYTES = 2**30  # in all: they are read, hashed, and copied twice

MADE_RATE_HZ, FEWEST_MADE = 44_100, 4
SUBTYPES = {"wav": "PCM_16", "ogg": "VORBIS", "flac": "PCM_16", "mp3": "MPEG_LAYER_III"}

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Chosen:
    """`files` differ in content; `copies` were left out since another one has the same content."""

    files: list[Path]
    copies: int = 0


def choose_files(paths: Sequence[Path], settings: Settings, most: int) -> Chosen:
    """Up to `most` files among those named and those in folders named, or MOST_BYTES of them.

    Raises DaemonError where there are none, or where one cannot be read.
    """
    suffixes = frozenset(suffix.encode() for suffix in settings.intake.suffixes)
    chosen = _each_content_once(_named(paths, suffixes), most)
    if not chosen.files:
        named = ", ".join(map(str, paths))
        raise DaemonError(f"no audio files in {named}; name other folders or files, or none")
    return chosen


def copy_file(file: Path, copy: Path) -> None:
    """Never as a link: a benchmark touches its files. Raises DaemonError."""
    try:
        shutil.copyfile(file, copy)
    except OSError as error:
        raise DaemonError(
            f"{file} cannot be copied to {copy.parent}: {error.strerror}; name fewer files, or"
            " another folder with TMPDIR"
        ) from error


def decodable(files: Sequence[Path]) -> list[Path]:
    """Those whose beginning a worker can decode.

    A benchmark decodes in its own process, so what hangs or kills a decoder must not come there.
    """
    with DecodePool[Path](0, TIMEOUT_SECONDS) as pool:
        for file in files:
            path, size_bytes = os.fsencode(file), file.stat().st_size
            grid = (TRIED_RATE_HZ, TRIED_RATE_HZ, TRIED_RATE_HZ)
            pool.submit(file, Segment(path, *grid, TRIED_SECONDS, size_bytes=size_bytes))
        answers = (pool.wait() for _ in files)
        valid = {file for file, answer in answers if isinstance(answer, DecodedAudio)}
    return [file for file in files if file in valid]


def make_sounds(
    folder: Path, suffix: str, most: int, seconds: float, deadline: float = math.inf
) -> list[Path]:
    """Up to `most` files of this format, as many as are begun by then; the same ones in each.

    `deadline` is a moment of `time.monotonic`. FEWEST_MADE are made however long it takes.
    """
    make = partial(_make, folder, suffix, seconds, deadline)
    with ThreadPoolExecutor(usable_cores()) as threads:  # encoders release the GIL
        return [path for path in threads.map(make, range(most)) if path]


def write_sound(path: Path, samples: Samples, rate_hz: int) -> None:
    """Encodes samples (N,) or (N, channels) as 16-bit WAV, or as what else the suffix says."""
    suffix, channels = path.suffix.removeprefix("."), 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(path, "w", rate_hz, channels, SUBTYPES[suffix]) as file:
        for block in _blocks(samples):
            file.write(block)


def _named(paths: Sequence[Path], suffixes: frozenset[bytes]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        scan = Inbox(path.resolve(), suffixes).scan()
        while not scan.is_over:
            arrivals = scan.take(1000)
            yield from (Path(a.inbox, a.path.decode(errors="surrogateescape")) for a in arrivals)


def _each_content_once(files: Iterable[Path], most: int) -> Chosen:
    found: dict[str, Path] = {}
    copies = n_bytes = 0
    for file in files:
        digest = _digest(file)
        copies += digest in found
        n_bytes += 0 if digest in found else file.stat().st_size
        found.setdefault(digest, file)
        if len(found) == most or n_bytes >= MOST_BYTES:
            break
    return Chosen(list(found.values()), copies)


def _digest(file: Path) -> str:
    try:
        if not file.is_file():
            raise DaemonError(f"{file} is no regular file; leave it out")
        return file_digest(file)
    except OSError as error:
        raise DaemonError(f"{file} cannot be read: {error.strerror}; leave it out") from error


def _make(folder: Path, suffix: str, seconds: float, deadline: float, number: int) -> Path | None:
    if number >= FEWEST_MADE and time.monotonic() > deadline:
        return None
    path = folder / f"{number:05}.{suffix}"
    write_sound(path, _sound(number, round(seconds * MADE_RATE_HZ)), MADE_RATE_HZ)
    return path


def _sound(number: int, n_samples: int) -> Samples:
    """A tone of its own pitch in noise of its own: no two are alike."""
    chance = np.random.default_rng(number)
    phase = np.arange(n_samples, dtype=np.float32) * np.float32(chance.uniform(0.01, 1.0))
    noise = chance.standard_normal(n_samples, dtype=np.float32)
    mixed: Samples = np.float32(0.3) * np.sin(phase) + np.float32(0.05) * noise
    return mixed


def _blocks(samples: Samples) -> Iterable[Samples]:
    """libsndfile crashes on a long Ogg written at once."""
    return (samples[at : at + BLOCK_SAMPLES] for at in range(0, len(samples), BLOCK_SAMPLES))
