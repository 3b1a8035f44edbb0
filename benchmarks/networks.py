"""The networks of a benchmark: the one that is served first, larger ones, the reference's."""

from __future__ import annotations

from datetime import UTC, datetime

import torch

from classifier.model.checkpoint import encode_checkpoint
from classifier.model.classifier import ClipClassifier
from classifier.model.resnet9 import widths_from
from classifier.model.starter import Starter, packaged_starter
from trainer.demo.synthesis import VOICES
from trainer.training.recipe import Recipe, recipe_with


def starter() -> Starter:
    found = packaged_starter()
    assert found is not None, "this package was built without a starter"
    return found


def twice_as_wide() -> Starter:
    """The default recipe at widths 32-64-128-256: 0.64 GFLOP a clip of 5 s. It has not learned."""
    return _untrained(recipe_with("default", widths=widths_from(32)))


def as_large_as_birdnet() -> Starter:
    """1.7 GFLOP a clip of 5 s, as much as BirdNET's two windows of 3 s. It has not learned."""
    return _untrained(recipe_with("default", widths=widths_from(52)))


def reference() -> Starter:
    """The notebook's network and features. It has not learned."""
    return _untrained(recipe_with("reference"))


def _untrained(recipe: Recipe) -> Starter:
    torch.manual_seed(0)
    labels, shape = tuple(VOICES), recipe.network_shape
    model = ClipClassifier(labels, recipe.audio_format, shape, recipe.mel_bank())
    return Starter(*encode_checkpoint(model, labels, shape, {}, datetime.now(UTC)))
