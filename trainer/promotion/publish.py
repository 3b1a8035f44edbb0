"""From a trained network to a checkpoint file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import torch

from classifier.inference.predictor import Predictor
from classifier.model.checkpoint import Checkpoint, Threshold, encode_checkpoint, read_checkpoint
from classifier.model.classifier import ClipClassifier
from classifier.model.novelty import Novelty
from storage.home.atomic_write import remove_leftovers
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.paths import Home
from trainer.errors import TrainerError
from trainer.training.recipe import Recipe


def check_home(home: Home) -> None:
    """Makes the home where there is none. Raises TrainerError where nothing can be written to it.

    What killed processes left goes. Called before training: hours of work must not end at a folder.
    """
    home.create()
    for folder in (home.checkpoints, home.reports, home.runs):
        remove_leftovers(folder)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise TrainerError(
                f"no permission to write to {folder}; join its group, or choose another --home"
            )


def publish(
    home: Home,
    model: ClipClassifier,
    labels: tuple[str, ...],
    recipe: Recipe,
    facts: Mapping[str, Any],
    now: datetime,
    device: torch.device,
    thresholds: Mapping[str, Threshold] | None = None,
    novelty: Novelty | None = None,
) -> Checkpoint:
    """Writes the checkpoint and reads it back: what is returned is what would be served.

    Raises StorageError where it cannot be written, and CheckpointError where the file does not
    give on `device` the scores that the network gave.
    """
    checkpoint_folder = CheckpointFolder(home.checkpoints)
    name, data = encode_checkpoint(
        model,
        labels,
        recipe.network_shape,
        facts,
        now,
        thresholds=thresholds,
        novelty=novelty,
    )
    checkpoint_folder.put(name, data)
    checkpoint = read_checkpoint(checkpoint_folder.path(name))
    Predictor(checkpoint, device)
    return checkpoint
