"""The note of a checkpoint that the daemon is preparing: whoever is killed by one cannot say so.

A file in the home, written before a checkpoint is tried and removed when it is warm or refused. A
note that is found belongs to a try which nobody ended. In the same boot of the machine the process
was killed, most likely by what it tried. After another boot it may have been a power cut: a second
try is made, and a second note counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.errors import StorageError, os_errors_as
from storage.home.atomic_write import flush_folder, write_whole
from storage.home.paths import FILE_MODE
from storage.home.safe_open import read_plain

MAX_TRIES = 2  # that nobody ended, in whatever boots: no coincidence any more

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def this_boot() -> str:
    """Where it cannot be told, all are taken for one."""
    with suppress(OSError):
        return _BOOT_ID.read_text().strip()
    return ""


@dataclass
class Trial:
    """Of one checkpoint; where it `has_killed` the process that tried it, its note stays."""

    has_killed: bool = False


class TrialFile:
    """What is unreadable in it counts for nothing: it must not keep a daemon from starting."""

    def __init__(self, path: Path, boot: Callable[[], str] = this_boot) -> None:
        self._path = path
        self._boot = boot

    @contextmanager
    def of(self, name: str) -> Iterator[Trial]:
        """Holds a note that checkpoint `name` is tried, while the body runs.

        On a full disk there is none: the try is worth more.
        """
        with suppress(StorageError):
            self._write({**self._read(), name: (self._n_tries(name) + 1, self._boot())})
        trial = Trial()
        try:
            yield trial
        finally:
            if not trial.has_killed:
                with suppress(StorageError):
                    self.forget(name)

    def n_kills(self, name: str) -> int:
        """How many tries of this checkpoint killed the daemon; 0 where that may be chance."""
        tries, boot = self._read().get(name, (0, ""))
        return tries if tries >= MAX_TRIES or boot == self._boot() else 0

    def forget(self, name: str) -> None:
        """Its next try counts as the first. Raises StorageError."""
        noted = self._read()
        if noted.pop(name, None) is not None:
            self._write(noted)

    def _n_tries(self, name: str) -> int:
        return self._read().get(name, (0, ""))[0]

    def _read(self) -> dict[str, tuple[int, str]]:
        with suppress(OSError, ValueError, RecursionError):
            noted = json.loads(read_plain(self._path))
            if isinstance(noted, dict):
                return {name: _entry(value) for name, value in noted.items()}
        return {}

    def _write(self, noted: Mapping[str, tuple[int, str]]) -> None:
        if noted:
            entries = {name: {"tries": n, "boot": boot} for name, (n, boot) in noted.items()}
            write_whole(self._path, json.dumps(entries).encode(), FILE_MODE)
            return
        with os_errors_as(StorageError, f"cannot remove {self._path}"):
            self._path.unlink(missing_ok=True)
            flush_folder(self._path.parent)


def _entry(value: Any) -> tuple[int, str]:
    """Raises ValueError for anything else."""
    match value:
        case {"tries": int(tries), "boot": str(boot)}:
            return tries, boot
    raise ValueError(value)
