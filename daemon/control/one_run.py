"""What `clfd run --once` adds: which files it waits for, and what it could not take."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

from daemon.archive.archiver import Archiver
from daemon.errors import DaemonError
from daemon.pipeline.scoring import Claimer
from storage.home.inbox_rules import ignored_text

logger = logging.getLogger(__name__)

MAX_NAMED = 5  # files in a line
NAMED_SECONDS = 10.0  # a file that it has waited for so long is named


@dataclass
class OneRun:
    """`patience_seconds` is how long it waits for a file to come to rest."""

    patience_seconds: float
    _named: set[str] = field(default_factory=set)

    def name_awaited(self, claimer: Claimer, now: float) -> None:
        """Each once: a run that does not end says why."""
        awaited = claimer.awaited(now, NAMED_SECONDS)
        if new := {name: what for name, what in awaited.items() if name not in self._named}:
            logger.warning("waiting for %s", _listed(new, ", which "))
            self._named.update(new)

    def require_complete(self, claimer: Claimer, archive: Archiver, now: float) -> None:
        """Raises DaemonError for files and folders that could not be taken.

        Files that could not be archived have their rows: they are named, and are no failure.
        """
        if ignored := ignored_text(claimer.intake.ignored_suffixes):
            logger.info("%s (clfd scan)", ignored)
        for fault in archive.faults():
            logger.warning("%s; the next run tries again", fault)
        if faults := claimer.faults():
            raise DaemonError(f"not everything could be read: {'; '.join(faults)}")
        if given_up := claimer.awaited(now, self.patience_seconds):
            listed = _listed(given_up, " ")
            raise DaemonError(f"not waited for any longer: {listed}; run it again later")


def _listed(files: Mapping[str, str], link: str) -> str:
    """`a.wav, which is still changing`, the first ones of many."""
    some = [f"{name}{link}{what}" for name, what in islice(files.items(), MAX_NAMED)]
    more = [f"and {len(files) - MAX_NAMED} more files"] * (len(files) > MAX_NAMED)
    return "; ".join(some + more)
