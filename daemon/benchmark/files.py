"""The files of a benchmark: those that were named, each content once, or sounds made for it.

clfd answers a copy without scoring it, so copies and links would make the figures too good.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile

from classifier.audio.samples import BLOCK_SAMPLES, Samples
from classifier.workers.cores import usable_cores
from daemon.errors import DaemonError
from daemon.intake.scanner import Inbox
from storage.home.safe_open import file_digest
from storage.settings.schema import Settings

MAX_BYTES = 2**30  # in all: they are read, hashed and copied
MADE_RATE_HZ = 44_100
SUBTYPES = {"wav": "PCM_16", "ogg": "VORBIS", "flac": "PCM_16", "mp3": "MPEG_LAYER_III"}


def choose_files(
    paths: Sequence[Path], settings: Settings, max_files: int
) -> tuple[list[Path], int]:
    """Up to `max_files` files among those named and those in folders named, or MAX_BYTES of them.

    They differ in content; also given is how many copies of them were left out. Raises DaemonError
    where there are none, or where one cannot be read.
    """
    suffixes = frozenset(suffix.encode() for suffix in settings.intake.suffixes)
    found: dict[str, Path] = {}
    copies = n_bytes = 0
    for file in _audio_files(paths, suffixes):
        digest = _digest(file)
        if digest in found:
            copies += 1
            continue
        found[digest] = file
        n_bytes += file.stat().st_size
        if len(found) == max_files or n_bytes >= MAX_BYTES:
            break
    if not found:
        named = ", ".join(map(str, paths))
        raise DaemonError(f"no audio files in {named}; name other folders or files, or none")
    return list(found.values()), copies


def copy_file(file: Path, copy: Path) -> None:
    """Never as a link: the stages touch the copies. Raises DaemonError."""
    try:
        shutil.copyfile(file, copy)
    except OSError as error:
        raise DaemonError(
            f"{file} cannot be copied to {copy.parent}: {error.strerror}; name fewer files, or"
            " another folder with TMPDIR"
        ) from error


def make_sounds(folder: Path, suffix: str, count: int, seconds: float) -> list[Path]:
    """`count` files of this format, which are the same sounds in each format."""
    files = [folder / f"{number:05}.{suffix}" for number in range(count)]

    def make(number: int) -> None:
        samples = _sound(number, round(seconds * MADE_RATE_HZ))
        write_sound(files[number], samples, MADE_RATE_HZ)

    with ThreadPoolExecutor(usable_cores()) as threads:  # encoders release the GIL
        list(threads.map(make, range(count)))
    return files


def write_sound(path: Path, samples: Samples, rate_hz: int) -> None:
    """Encodes samples (N,) or (N, channels) as 16-bit WAV, or as what else the suffix says."""
    suffix, channels = path.suffix.removeprefix("."), 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(path, "w", rate_hz, channels, SUBTYPES[suffix]) as file:
        for at in range(0, len(samples), BLOCK_SAMPLES):  # libsndfile crashes on a long Ogg at once
            file.write(samples[at : at + BLOCK_SAMPLES])


def _audio_files(paths: Sequence[Path], suffixes: frozenset[bytes]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        scan = Inbox(path.resolve(), suffixes).scan()
        while not scan.is_over:
            arrivals = scan.take(1000)
            yield from (Path(a.inbox, a.path.decode(errors="surrogateescape")) for a in arrivals)


def _digest(file: Path) -> str:
    try:
        if not file.is_file():
            raise DaemonError(f"{file} is no regular file; leave it out")
        return file_digest(file)
    except OSError as error:
        raise DaemonError(f"{file} cannot be read: {error.strerror}; leave it out") from error


def _sound(number: int, n_samples: int) -> Samples:
    """A tone of its own pitch in noise of its own: no two are alike."""
    rng = np.random.default_rng(number)
    phase = np.arange(n_samples, dtype=np.float32) * np.float32(rng.uniform(0.01, 1.0))
    noise = rng.standard_normal(n_samples, dtype=np.float32)
    mixed: Samples = np.float32(0.3) * np.sin(phase) + np.float32(0.05) * noise
    return mixed
