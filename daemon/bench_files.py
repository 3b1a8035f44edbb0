"""Which files a benchmark is made with: those that were named, each content once.

clfd answers a copy without hearing it, so copies and links would flatter the figures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.errors import DaemonError
from daemon.inbox import Inbox
from storage.settings import Settings


@dataclass(frozen=True)
class Chosen:
    """`files` differ in content; `copies` were left out since another one has the same content."""

    files: list[Path]
    copies: int = 0


def choose_files(paths: Sequence[Path], settings: Settings, most: int) -> Chosen:
    """Up to `most` files among those named and those in folders named.

    Raises DaemonError where there are none.
    """
    suffixes = frozenset(suffix.encode() for suffix in settings.intake.suffixes)
    chosen = _each_content_once(_named(paths, suffixes), most)
    if not chosen.files:
        named = ", ".join(map(str, paths))
        raise DaemonError(f"no audio files in {named}; name other folders or files, or none")
    return chosen


def _named(paths: Sequence[Path], suffixes: frozenset[bytes]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        scan = Inbox(path.resolve(), suffixes).scan()
        while arrivals := scan.take(1000):
            yield from (Path(a.inbox, a.path.decode(errors="surrogateescape")) for a in arrivals)


def _each_content_once(files: Iterable[Path], most: int) -> Chosen:
    found: dict[str, Path] = {}
    copies = 0
    for file in files:
        digest = _digest(file)
        copies += digest in found
        found.setdefault(digest, file)
        if len(found) == most:
            break
    return Chosen(list(found.values()), copies)


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DaemonError(f"{file} cannot be read: {error.strerror}; leave it out") from error
