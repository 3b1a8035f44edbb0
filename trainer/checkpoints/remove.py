"""Removal of checkpoints and their reports."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence

from classifier.model.starter import starter_name
from storage.errors import StorageError
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


def prune(home: Home, keep: int, spared: Sequence[str] = ()) -> list[str]:
    """Takes the oldest beyond the newest `keep` away (0 keeps all); returns their names.

    The active one, the previous one, the starter and those in `spared` stay whatever their age.
    """
    starter = starter_name()
    kept = [*spared, *([] if starter is None else [starter])]
    removed = CheckpointFolder(home.checkpoints).prune(keep, spared=kept)
    for name in removed:
        _remove_reports(home, name)
    return removed


def prune_after_training(
    home: Home, keep: int, newest: str, print_line: Callable[[str], None]
) -> None:
    """Prunes after a training run that made `newest`, which stays also if a clock was set back.

    Says what it did; a training run must not fail because of old files.
    """
    try:
        removed = prune(home, keep, [newest])
    except StorageError as error:
        print_line(f"old checkpoints stay: {error}")
        return
    if removed:
        print_line(f"removed by checkpoints.keep = {keep}: {', '.join(removed)}")


def _remove_reports(home: Home, name: str) -> None:
    """The report of its training, and those of its evaluations."""
    for folder in (home.reports / name, *home.reports.glob(f"{name}-evaluation-*")):
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StorageError(
                f"checkpoint {name} is removed, but not its report {folder}: {error.strerror};"
                " remove it by hand"
            ) from error
