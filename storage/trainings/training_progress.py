"""How far a training is, as it writes it: for the page, and for other programs."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

from storage.errors import StorageError
from storage.home.atomic_write import write_whole
from storage.home.paths import FILE_MODE
from storage.values.timestamps import stamp

WRITE_SECONDS = 0.5  # an epoch may take 50 ms, and to write it through to the disk as long


class EpochProgress(BaseModel):
    """One epoch; losses in nats, and None where nothing validates."""

    epoch: int
    train_loss: float | None
    val_loss: float | None = None
    val_accuracy: float | None = None
    val_macro_ap: float | None = None
    seconds: float | None = None


class TrainingOutcome(BaseModel):
    """What a training has published, and whether that was promoted."""

    checkpoint: str
    promoted: bool
    promotion_reason: str
    val_accuracy: float | None = None
    val_macro_ap: float | None = None
    mean_accuracy: float | None = Field(default=None, description="Over folds, as the next.")
    mean_macro_ap: float | None = None
    seconds: float | None = None


class TrainingProgress(BaseModel):
    """A training that runs, or ran."""

    state: Literal["running", "done", "failed", "stopped"] = "running"
    stage: str = Field(
        default="preparing", description="starting, preparing, fold-N, published or assessing."
    )
    began_at: str
    updated_at: str | None = None
    pid: int | None = Field(default=None, gt=0)  # others mean many processes to `kill`
    host: str | None = None
    labels: str | None = Field(default=None, description="The labels file.")
    epochs: int | None = Field(default=None, description="Of this stage, in all.")
    curve: list[EpochProgress] = Field(default=[], description="The epochs of this stage.")
    outcome: TrainingOutcome | None = None
    error: str | None = None


class ProgressFile:
    """Where it cannot be written, `print_line` gets one line, and the training goes on."""

    def __init__(
        self, file: Path, first: TrainingProgress, print_line: Callable[[str], None]
    ) -> None:
        self._file: Path | None = file
        self._progress, self._print_line, self._written_at = first, print_line, 0.0
        self.update()

    def update(self, **changes: Any) -> None:
        """Written at once."""
        self._change(changes)
        self._write()

    def add_epoch(self, epoch: EpochProgress) -> None:
        """Written twice a second at most; a later change writes what is left."""
        self._change({"curve": [*self._progress.curve, epoch]})
        if time.monotonic() - self._written_at > WRITE_SECONDS:
            self._write()

    def _change(self, changes: dict[str, Any]) -> None:
        changes["updated_at"] = stamp(datetime.now(UTC))
        self._progress = self._progress.model_copy(update=changes)

    def _write(self) -> None:
        if self._file is None:
            return
        try:
            write_whole(self._file, self._progress.model_dump_json().encode(), FILE_MODE)
        except StorageError as error:
            self._print_line(f"training goes on, but nobody sees how far it is: {error}")
            self._file = None
        self._written_at = time.monotonic()
