"""Suffixes that are taken now and were not at the start before, as after an upgrade.

Files of such a suffix may lie in an inbox for years. A start says how many there are before it
takes them, and none of them is moved to an archive in the same run.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from classifier.audio.regular_file import file_version
from storage.errors import StorageError
from storage.home.atomic_write import write_whole
from storage.home.safe_open import read_plain
from storage.ledger.archive_moves import Move
from storage.ledger.outcomes import Arrival

logger = logging.getLogger(__name__)

# Of the version that kept no note of them.
FIRST_SUFFIXES = (".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff")


class NewSuffixes:
    """`note` is the file in the home that says which suffixes were taken last."""

    def __init__(
        self, note: Path, suffixes: Sequence[str], is_new_home: Callable[[], bool]
    ) -> None:
        self._note = note
        self._suffixes = suffixes
        before = _read(note) or (suffixes if is_new_home() else FIRST_SUFFIXES)
        self._new = {suffix.encode() for suffix in {*suffixes} - {*before}}
        self._began_ns = time.time_ns()
        self._counts: Counter[str] = Counter()
        self._is_told = False

    def see(self, arrivals: Iterable[Arrival]) -> None:
        """What the first scan finds."""
        if self._new and not self._is_told:
            self._counts.update(
                _suffix(each.path).decode() for each in arrivals if _suffix(each.path) in self._new
            )

    def tell(self) -> None:
        """After the first scan; the next start need not say it again."""
        if self._is_told:
            return
        for suffix, n_files in sorted(self._counts.items()):
            logger.warning(
                "%d files of %s lie in the inboxes: this suffix is taken from now on, and none of"
                " these files is archived before the next start",
                n_files,
                suffix,
            )
        self.remember(self._suffixes)

    def remember(self, suffixes: Sequence[str]) -> None:
        """These are taken, and told."""
        self._suffixes, self._is_told = suffixes, True
        if _read(self._note) != [*suffixes]:
            try:
                write_whole(self._note, json.dumps([*suffixes]).encode())
            except StorageError as error:  # the next start says it again
                logger.warning("%s", error)

    def holds(self, move: Move) -> bool:
        """Whether a file lay there with such a suffix when this run began."""
        if _suffix(move.path) not in self._new:
            return False
        return file_version(move.fingerprint).changed_ns < self._began_ns


def _suffix(path: bytes) -> bytes:
    return os.path.splitext(path)[1].lower()


def _read(note: Path) -> list[str]:
    """Empty where there is none."""
    try:
        return [str(suffix) for suffix in json.loads(read_plain(note))]
    except (OSError, ValueError, TypeError):
        return []
