"""Fine-tuning of an earlier checkpoint: its audio format, its weights, and the labels it knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from classifier.model.checkpoint import Checkpoint
from classifier.model.classifier import ClipClassifier, Task
from trainer.errors import RecipeError
from trainer.training.recipe import Recipe

# Most is learned already: a quarter of the passes, at a rate that does not destroy it.
EPOCHS_SHARE = 0.25
RATE_SHARE = 0.3


def fine_tune_recipe(recipe: Recipe, parent: Checkpoint, given: Sequence[str]) -> Recipe:
    """The recipe for fine-tuning `parent`, whose audio format and network shape it takes over.

    Where the parent's bands are not normalised, 0 is loud and not the mean, and nothing is masked.
    `given` names the fields that a person asked for. Raises RecipeError where one of them would
    need another network.
    """
    audio, shape = parent.audio_format, parent.description.network
    inherited: dict[str, Any] = {
        "sample_rate_hz": audio.sample_rate_hz,
        "clip_seconds": audio.clip_seconds,
        "n_mels": audio.n_mels,
        "widths": shape.widths,
    }
    for name, value in inherited.items():
        if name in given and getattr(recipe, name) != value:
            raise RecipeError(
                f"--from {parent.name} goes on with its network, which has {name} = {value}; "
                "leave that option out, or train --from scratch"
            )
    tensors = parent.tensors
    normalised = bool((tensors["band_mean"] != 0).any() or (tensors["band_std"] != 1).any())
    unmasked: dict[str, Any] = {} if normalised else {"band_masks": 0, "time_masks": 0}
    shorter = max(1, round(recipe.epochs * EPOCHS_SHARE))
    rate_share = 1.0 if "learning_rate" in given else RATE_SHARE
    return replace(
        recipe,
        **inherited,
        early_pooling=shape.early_pooling,
        max_pooling=shape.max_pooling,
        peak_decibels=audio.peak_decibels,
        normalise=normalised,
        augmentation=replace(recipe.augmentation, **unmasked),
        epochs=recipe.epochs if "epochs" in given else shorter,
        learning_rate=recipe.learning_rate * rate_share,
    )


def fine_tune_model(
    parent: Checkpoint, labels: tuple[str, ...], task: Task = "single"
) -> ClipClassifier:
    """A model with these `labels` that scores the parent's labels as the parent did.

    Rows of the last layer are matched by name; those of new labels are random, and all of them
    where the parent's task is another: its logits mean something else.
    """
    parent_model = parent.build()
    model = ClipClassifier(
        labels, parent.audio_format, parent.description.network, parent.tensors["mel_bank"], task
    )
    weights = parent_model.network.state_dict()
    fresh = model.network.state_dict()
    for name in ("head.2.weight", "head.2.bias"):
        rows = fresh[name].clone()
        for at, label in enumerate(labels):
            if label in parent.labels and task == parent.description.task:
                rows[at] = weights[name][parent.labels.index(label)]
        weights[name] = rows
    model.network.load_state_dict(weights)
    model.band_mean.copy_(parent_model.band_mean)
    model.band_std.copy_(parent_model.band_std)
    return model
