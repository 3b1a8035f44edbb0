"""The starter: a checkpoint inside the package, so that a first user's daemon answers at once.

It lies in the folder `starter` beside this file, under the name that it has in every checkpoint
folder. Its training facts say `starter: true`, from which one of an earlier version is known too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from classifier.model.checkpoint import Checkpoint

FOLDER = files("classifier.model") / "starter"
SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Starter:
    """A checkpoint file: its name, and its bytes."""

    name: str
    data: bytes = field(repr=False)


def packaged_starter(folder: Traversable = FOLDER) -> Starter | None:
    """The starter; None in a package that was built without one."""
    found = _file(folder)
    return None if found is None else Starter(found.name.removesuffix(SUFFIX), found.read_bytes())


@contextmanager
def starter_file(folder: Traversable = FOLDER) -> Iterator[Path | None]:
    """The starter as a file, wherever the package is; None where it was built without one."""
    found = _file(folder)
    with nullcontext() if found is None else as_file(found) as file:
        yield file


def starter_name(folder: Traversable = FOLDER) -> str | None:
    """The starter's name, without reading it."""
    found = _file(folder)
    return None if found is None else found.name.removesuffix(SUFFIX)


def is_starter(checkpoint: Checkpoint) -> bool:
    """Whether it came with clfd: its labels are not its user's, and it gives way to theirs."""
    return checkpoint.description.training.get("starter") is True


def _file(folder: Traversable) -> Traversable | None:
    if not folder.is_dir():
        return None
    found = [file for file in folder.iterdir() if file.name.endswith(SUFFIX)]
    return max(found, key=lambda file: file.name, default=None)
