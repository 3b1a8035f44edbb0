"""Which files a benchmark is made with: those that were named, each content once.

clfd answers a copy without hearing it, so copies and links would flatter the figures.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from classifier.audio.decode import DecodedAudio, Segment
from classifier.workers.pool import DecodePool
from daemon.errors import DaemonError
from daemon.intake.scanner import Inbox
from storage.settings.schema import Settings

RATE_HZ = 8000
TRIED_SECONDS = 30  # of a recording
TIMEOUT_SECONDS = 10.0
MOST_BYTES = 2**30  # in all: they are read, hashed, and copied twice


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
    """Never a link: what is measured must be its own. Raises DaemonError."""
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
            begin = Segment(path, RATE_HZ, RATE_HZ, RATE_HZ, TRIED_SECONDS, size_bytes=size_bytes)
            pool.submit(file, begin)
        answers = (pool.wait() for _ in files)
        sound = {file for file, answer in answers if isinstance(answer, DecodedAudio)}
    return [file for file in files if file in sound]


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
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DaemonError(f"{file} cannot be read: {error.strerror}; leave it out") from error
