"""Where a checkpoint comes from: the ones that its training began with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from classifier.errors import CheckpointError
from classifier.model.checkpoint import Checkpoint, read_checkpoint
from storage.home.checkpoint_folder import CheckpointFolder
from trainer.checkpoints.import_checkpoint import name_on_shelf


class Ancestor(TypedDict):
    """`on_shelf` says whether its file is there, with exactly the content that was learned from."""

    name: str
    digest: str
    on_shelf: bool


def ancestors(shelf: CheckpointFolder, training: Mapping[str, Any]) -> list[Ancestor]:
    """The parent, its parent and so on, as far as the shelf has them; [] from scratch."""
    found: dict[str, Ancestor] = {}
    parent = _parent(training)
    while parent is not None and parent["digest"] not in found:  # a forged file may lead in a ring
        checkpoint = _find(shelf, parent["digest"])
        found[parent["digest"]] = {**parent, "on_shelf": checkpoint is not None}
        parent = None if checkpoint is None else _parent(checkpoint.description.training)
    return list(found.values())


def _parent(training: Mapping[str, Any]) -> Ancestor | None:
    match training.get("parent"):
        case {"name": str(name), "digest": str(digest)}:
            return {"name": name, "digest": digest, "on_shelf": False}
    return None


def _find(shelf: CheckpointFolder, digest: str) -> Checkpoint | None:
    try:
        name = name_on_shelf(shelf, digest)
        return None if name is None else read_checkpoint(shelf.path(name))
    except CheckpointError:
        return None
