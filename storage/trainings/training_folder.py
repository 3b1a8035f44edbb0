"""The trainings of a home: a folder for each, with how far it is and what it printed.

A training holds the lock of its folder as long as it lives, so that nobody takes a number of a
process for another one's.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from storage.errors import StorageError, os_errors_as
from storage.home.paths import Home, make_folder
from storage.home.safe_open import lock_folder, open_plain, read_plain
from storage.trainings.training_progress import TrainingProgress
from storage.values.timestamps import stamp

KEPT = 50
MAX_PROGRESS_BYTES = 16 * 2**20  # 100,000 epochs
_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")


@dataclass(frozen=True)
class TrainingFolder:
    """One training; the folder need not exist."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def progress_file(self) -> Path:
        return self.folder / "progress.json"

    @property
    def labels_file(self) -> Path:
        """Labels that were written for this training alone."""
        return self.folder / "labels.csv"

    @property
    def log_file(self) -> Path:
        """What it printed, where it was started by the page."""
        return self.folder / "log.txt"

    def lock(self, wait: bool = False) -> int | None:
        """A descriptor that holds the lock; None where another process does. Raises StorageError.

        Whoever made the folder has to `wait`: others may just be looking whether it runs.
        """
        with os_errors_as(StorageError, f"cannot lock {self.folder}", "ask who owns the home"):
            try:
                return lock_folder(self.folder, wait)
            except BlockingIOError:
                return None

    def is_running(self) -> bool:
        """The lock is shared by all who look, so that none takes another one for the training."""
        try:
            os.close(lock_folder(self.folder, wait=False, shared=True))
        except BlockingIOError:
            return True
        except OSError:  # gone meanwhile
            return False
        return False

    def progress(self) -> TrainingProgress:
        """What it wrote last; one that was killed is `stopped`."""
        is_running = self.is_running()  # first: one that ends now has written so by then
        try:
            data = read_plain(self.progress_file, MAX_PROGRESS_BYTES)
            progress = TrainingProgress.model_validate_json(data)
        except (OSError, ValueError):
            return self._without_progress(is_running)
        if progress.state == "running" and not is_running:
            return progress.model_copy(update={"state": "stopped", "error": "it was killed"})
        return progress

    def _without_progress(self, is_running: bool) -> TrainingProgress:
        """It is about to begin, or could not."""
        began = datetime.strptime(self.id[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if is_running:
            return TrainingProgress(stage="starting", began_at=stamp(began))
        lines = self.log_tail(2000).splitlines() or ["it ended before it began"]
        return TrainingProgress(
            state="failed", stage="starting", began_at=stamp(began), error=lines[-1]
        )

    def log_tail(self, n_bytes: int) -> str:
        """The end of the log; empty where there is none."""
        with suppress(OSError), open(open_plain(self.log_file), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - n_bytes))
            return file.read(n_bytes).decode(errors="replace")
        return ""


def all_trainings(home: Home) -> list[TrainingFolder]:
    """Newest first."""
    try:
        names = sorted(filter(_ID.fullmatch, os.listdir(home.trainings)), reverse=True)
    except FileNotFoundError:
        return []
    return [TrainingFolder(home.trainings / name) for name in names]


def find_training(home: Home, id: str) -> TrainingFolder:
    """Raises StorageError where there is none."""
    found = TrainingFolder(home.trainings / id)
    if not _ID.fullmatch(id) or not found.folder.is_dir():
        raise StorageError(f"there is no training {id!r}")
    return found


def new_training(home: Home) -> TrainingFolder:
    """Makes its folder, and takes the oldest away. Raises StorageError."""
    make_folder(home.trainings)
    for old in all_trainings(home)[KEPT - 1 :]:
        if not old.is_running():
            shutil.rmtree(old.folder, ignore_errors=True)
    now = datetime.now(UTC)
    made = TrainingFolder(home.trainings / f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}")
    make_folder(made.folder)
    return made
