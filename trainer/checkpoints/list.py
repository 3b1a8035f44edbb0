"""A table of all checkpoints, and texts for their facts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from classifier.errors import CheckpointError
from classifier.model.checkpoint import read_checkpoint
from storage.home.checkpoint_folder import CheckpointFolder


def print_table(checkpoint_folder: CheckpointFolder, console: Console) -> list[str]:
    """Prints a line for each checkpoint, newest first; returns the errors of the refused ones."""
    table = Table("name", "", "labels", "accuracy", "trained", "size", box=None, pad_edge=False)
    active, previous = checkpoint_folder.active(), checkpoint_folder.previous()
    refusals = []
    for name in checkpoint_folder.names():
        mark = "active" if name == active else "previous" if name == previous else ""
        size = ""
        try:
            size = f"{checkpoint_folder.path(name).stat().st_size / 1e6:.1f} MB"
            checkpoint = read_checkpoint(checkpoint_folder.path(name))
            training = checkpoint.description.training
            made = local_time(training.get("created_at")) or ""
            cells = str(len(checkpoint.labels)), accuracy_text(training), made
        except CheckpointError as error:
            cells = "", "refused", ""
            refusals.append(str(error))
        except FileNotFoundError:  # removed meanwhile
            continue
        table.add_row(*(Text(cell) for cell in (name, mark, *cells, size)))
    console.print(table)
    return refusals


def accuracy_text(facts: Mapping[str, Any]) -> str:
    """Of what `clfd train` measured: the validation's, else the mean over folds.

    Of a multi task it is the macro average precision.
    """
    if facts.get("task") == "multi":
        own, mean = (fact(facts, f"{of}_macro_ap", "macro AP {:.3f}") for of in ("val", "mean"))
        return own or (f"{mean} over folds" if mean else "not measured")
    if measured := fact(facts, "val_accuracy", "{:.1%}"):
        return measured
    if mean := fact(facts, "mean_accuracy", "{:.1%}"):
        deviation = fact(facts, "std_accuracy", " ± {:.1%}") or ""
        return f"{mean}{deviation} over folds"
    return "not measured"


def fact(facts: Mapping[str, Any], name: str, template: str = "{}") -> str | None:
    """A fact as text; None where there is none, or one of another kind."""
    value = facts.get(name)
    try:
        return None if value is None else template.format(value)
    except (TypeError, ValueError, OverflowError):
        return None


def local_time(written: object) -> str | None:
    """An ISO 8601 time in local time; None for anything else."""
    try:
        return f"{datetime.fromisoformat(str(written)).astimezone():%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError):
        return None
