"""Removal of checkpoints and their reports."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress

from classifier.model.starter import starter_name
from storage.errors import StorageError, os_errors_as
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.paths import Home


def remove(home: Home, names: Sequence[str]) -> None:
    """Takes checkpoints and their reports away; all of them, or none where one must stay.

    Answers stay in the ledger, with the digest of the checkpoint that gave them. Raises
    StorageError for the active and the previous one.
    """
    checkpoint_folder = CheckpointFolder(home.checkpoints)
    for name in names:
        checkpoint_folder.refuse_if_linked(name)
    for name in names:
        checkpoint_folder.remove(name)
        _remove_reports(home, name)


def prune_after_training(
    home: Home, keep: int, newest: str, print_line: Callable[[str], None]
) -> None:
    """Takes the oldest beyond the newest `keep` away (0 keeps all), and prints what it did.

    The active one, the previous one, the starter and `newest` stay whatever their age: a clock may
    have been set back. A training run must not fail because of old files.
    """
    spared = [name for name in (newest, starter_name()) if name is not None]
    try:
        removed = CheckpointFolder(home.checkpoints).prune(keep, spared)
        for name in removed:
            _remove_reports(home, name)
    except StorageError as error:
        print_line(f"old checkpoints stay: {error}")
        return
    if removed:
        print_line(f"removed by checkpoints.keep = {keep}: {', '.join(removed)}")


def _remove_reports(home: Home, name: str) -> None:
    """The report of its training, and those of its evaluations."""
    for folder in (home.reports / name, *home.reports.glob(f"{name}-evaluation-*")):
        what = f"checkpoint {name} is removed, but not its report {folder}"
        with os_errors_as(StorageError, what, "remove it by hand"), suppress(FileNotFoundError):
            shutil.rmtree(folder)
