"""Checkpoints as people read them: a table of all, and everything about one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from classifier.checkpoint import Checkpoint, read_checkpoint
from classifier.errors import CheckpointError
from storage.shelf import Shelf

COUNTED = ("recording_digests", "history", "folds")  # `--json` has them whole
WIDTH_WITHOUT_TERMINAL = 120


def print_table(shelf: Shelf) -> list[str]:
    """One line for each checkpoint, newest first; returns why the refused ones are."""
    table = Table("name", "", "labels", "accuracy", "trained", "size", box=None, pad_edge=False)
    active, previous = shelf.active(), shelf.previous()
    refusals = []
    for name in shelf.names():
        mark = "active" if name == active else "previous" if name == previous else ""
        size = f"{shelf.path(name).stat().st_size / 1e6:.1f} MB"
        try:
            cells = _cells(read_checkpoint(shelf.path(name)))
        except CheckpointError as error:
            cells = "", "refused", ""
            refusals.append(str(error))
        table.add_row(*(Text(cell) for cell in (name, mark, *cells, size)))
    _console().print(table)
    return refusals


def print_description(facts: Mapping[str, Any]) -> None:
    table = Table.grid("name", "value", padding=(0, 2))
    for name, value in _flat(facts):
        table.add_row(Text(name), Text(value))
    _console().print(table)


def describe(checkpoint: Checkpoint) -> dict[str, Any]:
    """Everything a checkpoint says of itself, without its weights and their check."""
    about = checkpoint.description.model_dump(mode="json", exclude={"canary"})
    return {"checkpoint": checkpoint.name, "digest": checkpoint.digest, **about}


def accuracy_text(facts: Mapping[str, Any]) -> str:
    """Of what `clfd train` measured: the validation's, else the mean over folds."""
    if facts.get("val_accuracy") is not None:
        return f"{facts['val_accuracy']:.1%}"
    if facts.get("mean_accuracy") is not None:
        return f"{facts['mean_accuracy']:.1%} ± {facts['std_accuracy']:.1%} over folds"
    return "not measured"


def _cells(checkpoint: Checkpoint) -> tuple[str, str, str]:
    training = checkpoint.description.training
    return str(len(checkpoint.labels)), accuracy_text(training), _local(training.get("created_at"))


def _local(written: str | None) -> str:
    if written is None:
        return ""
    return f"{datetime.fromisoformat(written).astimezone():%Y-%m-%d %H:%M}"


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif name in COUNTED:
            yield f"{prefix}{name}", f"{len(value)} entries"
        elif isinstance(value, list):
            yield f"{prefix}{name}", ", ".join(str(item) for item in value)
        else:
            yield f"{prefix}{name}", "-" if value is None else str(value)


def _console() -> Console:
    width = shutil.get_terminal_size((WIDTH_WITHOUT_TERMINAL, 24)).columns
    return Console(width=width, highlight=False)
