"""Import of a checkpoint file into the checkpoint folder."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from classifier.errors import CheckpointError
from classifier.inference.prepare import prepare
from classifier.model.checkpoint import Checkpoint, read_with_bytes
from storage.home.checkpoint_folder import CheckpointFolder, is_name
from storage.home.safe_open import file_digest


@dataclass(frozen=True)
class ImportResult:
    """The name in the folder, and whether the file was there before."""

    name: str
    existed: bool


def import_checkpoint(
    checkpoint_folder: CheckpointFolder, file: Path, now: datetime
) -> ImportResult:
    """Copies a checkpoint file into the folder under its right name; activates nothing.

    What is checked are the very bytes that are kept, and its network must give here the scores of
    its canary. A damaged file of that name is replaced. `now` is an aware
    UTC time. Raises CheckpointError naming the file and the field, or StorageError.
    """
    checkpoint, data = read_with_bytes(file, remedy="copy or export it again where it comes from")
    prepare(checkpoint, torch.device("cpu"))  # repeats its canary, or raises
    if there := stored_name(checkpoint_folder, checkpoint.digest):
        return ImportResult(there, existed=True)
    name = right_name(checkpoint, now)
    checkpoint_folder.put(name, data)
    return ImportResult(name, existed=False)


def stored_name(checkpoint_folder: CheckpointFolder, digest: str) -> str | None:
    """The name of the file with exactly this content, where there is one."""
    likely = [name for name in checkpoint_folder.names() if name.endswith(f"-{digest[:8]}")]
    return next((name for name in likely if _digest(checkpoint_folder.path(name)) == digest), None)


def right_name(checkpoint: Checkpoint, now: datetime) -> str:
    """The file's own name where its digest stands in it, else one from when it was made."""
    ending = f"-{checkpoint.digest[:8]}"
    if is_name(checkpoint.name) and checkpoint.name.endswith(ending):
        return checkpoint.name
    made = _moment(checkpoint.description.training.get("created_at"))
    # Names sort by age: one from the future would count as the newest for ever.
    name = f"{min(made or now, now):%Y%m%dT%H%M%SZ}{ending}"
    return name if is_name(name) else f"{now:%Y%m%dT%H%M%SZ}{ending}"


def _moment(written: Any) -> datetime | None:
    """An aware UTC time; None where the file has no valid one."""
    try:
        moment = datetime.fromisoformat(written)
        return None if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise CheckpointError(
            f"checkpoint {path.name} cannot be read: {error.strerror}; check its permissions"
        ) from error
