"""From a trained network to a checkpoint on the shelf, and perhaps to the one that is served."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import torch

from classifier.checkpoint import Checkpoint, read_checkpoint, save_checkpoint
from classifier.clip_classifier import ClipClassifier
from classifier.predictor import Predictor, Scores
from storage.home import FILE_MODE, Home
from storage.shelf import Shelf
from trainer.errors import TrainerError
from trainer.evaluation import Truth
from trainer.recipes import Recipe


@dataclass(frozen=True)
class Promotion:
    """Whether a checkpoint became the active one, and why or why not, in words for people."""

    promoted: bool
    reason: str


def check_home(home: Home) -> None:
    """Makes the home where there is none. Raises TrainerError where nothing can be written to it.

    Called before training: hours of work must not end at a folder.
    """
    home.create()
    for folder in (home.checkpoints, home.reports):
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
) -> Checkpoint:
    """Writes the checkpoint and reads it back: what is returned is what would be served.

    Raises CheckpointError where the file does not say on `device` what the network said.
    """
    path = save_checkpoint(home.checkpoints, model, labels, recipe.network_shape, facts, now)
    path.chmod(FILE_MODE)
    checkpoint = read_checkpoint(path)
    Predictor(checkpoint, device)
    return checkpoint


def promote(
    shelf: Shelf, checkpoint: Checkpoint, wish: str, scores: Scores, truth: Truth
) -> Promotion:
    """Activates the checkpoint as `wish` (auto, always or never) and its scores (R, L) allow."""
    promotion = judge(shelf.active(), wish, checkpoint.labels, scores, truth)
    if promotion.promoted:
        shelf.activate(checkpoint.name)
    return promotion


def judge(
    active: str | None, wish: str, labels: tuple[str, ...], scores: Scores, truth: Truth
) -> Promotion:
    """The rule: `auto` takes anything over nothing, else only what tells labels apart."""
    if wish != "auto":
        return Promotion(wish == "always", f"--promote {wish}")
    if active is None:
        return Promotion(True, "no checkpoint was active")
    if not np.isfinite(scores).all():
        return Promotion(False, f"its scores are no numbers; {active} stays active")
    answers = np.unique(scores.argmax(axis=1))
    if len(answers) == 1 < len(np.unique(truth)):
        only = labels[answers[0]]
        return Promotion(False, f"it answers {only!r} to everything; {active} stays active")
    return Promotion(True, f"it tells {len(answers)} labels apart; {active} is previous now")
