"""A table of all checkpoints, and texts for their facts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from classifier.errors import CheckpointError
from classifier.model.checkpoint import Checkpoint, read_checkpoint
from storage.home.checkpoint_folder import CheckpointFolder


def print_table(checkpoint_folder: CheckpointFolder, console: Console) -> list[str]:
    """Prints a line for each checkpoint, newest first; returns the errors of the refused ones."""
    table = Table("name", "", "labels", "accuracy", "trained", "size", box=None, pad_edge=False)
    active, previous = checkpoint_folder.active(), checkpoint_folder.previous()
    refusals = []
    for name in checkpoint_folder.names():
        mark = "active" if name == active else "previous" if name == previous else ""
        size = f"{checkpoint_folder.path(name).stat().st_size / 1e6:.1f} MB"
        try:
            cells = _cells(read_checkpoint(checkpoint_folder.path(name)))
        except CheckpointError as error:
            cells = "", "refused", ""
            refusals.append(str(error))
        table.add_row(*(Text(cell) for cell in (name, mark, *cells, size)))
    console.print(table)
    return refusals


def accuracy_text(facts: Mapping[str, Any]) -> str:
    """Of what `clfd train` measured: the validation's, else the mean over folds."""
    if measured := percent(facts.get("val_accuracy")):
        return measured
    if mean := percent(facts.get("mean_accuracy")):
        deviation = percent(facts.get("std_accuracy"))
        return f"{mean} ± {deviation} over folds" if deviation else f"{mean} over folds"
    return "not measured"


def percent(share: object) -> str | None:
    """None for what is no number: a file may hold anything."""
    try:
        return f"{share:.1%}" if isinstance(share, int | float) else None
    except OverflowError:
        return None


def local_time(written: object) -> str | None:
    """An ISO 8601 time in local time; None for anything else."""
    try:
        return f"{datetime.fromisoformat(str(written)).astimezone():%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError):
        return None


def _cells(checkpoint: Checkpoint) -> tuple[str, str, str]:
    training = checkpoint.description.training
    made = local_time(training.get("created_at"))
    return str(len(checkpoint.labels)), accuracy_text(training), made or ""
