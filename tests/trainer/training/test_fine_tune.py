"""Going on from an earlier checkpoint."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from checkpoint_files import save_checkpoint
from tones import RATE_HZ, TONE_RECIPE, dataset_of, tone, two_tones

from classifier.model.checkpoint import Checkpoint, read_checkpoint
from trainer.data.splits import everything
from trainer.errors import RecipeError
from trainer.evaluation.metrics import answer_recordings
from trainer.training.augmentation import Augmentation
from trainer.training.fine_tune import fine_tune_model, fine_tune_recipe
from trainer.training.loop import train_network
from trainer.training.recipe import Recipe

RECIPE = replace(TONE_RECIPE, epochs=12, normalise=True)


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Tells low from high tones."""
    folder, data = tmp_path_factory.mktemp("parent"), two_tones(20)
    model = train_network(data, everything(20), RECIPE, seed=0).model
    path = save_checkpoint(
        folder, model, data.labels, RECIPE.network_shape, {}, datetime(2026, 1, 1, tzinfo=UTC)
    )
    return read_checkpoint(path)


def clips() -> torch.Tensor:
    return torch.from_numpy(np.stack([tone(400), tone(2500)])).float()


def test_it_begins_with_what_the_parent_knew(parent: Checkpoint) -> None:
    model = fine_tune_model(parent, ("high", "low"))
    with torch.no_grad():
        assert torch.equal(model.eval()(clips()), parent.build()(clips()))


def test_labels_go_by_name_when_one_is_added_before_them(parent: Checkpoint) -> None:
    model = fine_tune_model(parent, ("click", "high", "low"))
    with torch.no_grad():
        old, new = parent.build()(clips()), model.eval()(clips())
    assert torch.equal(new[:, 1:], old)


def test_an_added_label_is_learned_in_a_few_epochs(parent: Checkpoint) -> None:
    pairs = [(tone(float(hz)), "low") for hz in np.linspace(300, 600, 8)]
    pairs += [(tone(float(hz)), "high") for hz in np.linspace(3000, 1500, 8)]
    noise = np.random.RandomState(1).randn(8, RATE_HZ // 4)
    pairs += [(row, "noise") for row in noise]
    dataset = dataset_of([clip for clip, _ in pairs], list(range(24)), [name for _, name in pairs])
    recipe = fine_tune_recipe(replace(RECIPE, epochs=24, settle=True), parent, [])
    model = train_network(dataset, everything(24), recipe, 0, parent=parent).model
    scores = answer_recordings(model, dataset.labels, dataset, range(24), 8).scores
    assert recipe.epochs == 6
    assert (scores.argmax(1) == dataset.truth.numpy()).mean() > 0.9


def test_the_parents_audio_format_is_taken_over(parent: Checkpoint) -> None:
    recipe = fine_tune_recipe(Recipe(epochs=100), parent, [])
    assert recipe.audio_format == parent.audio_format
    assert recipe.network_shape == parent.description.network
    assert recipe.epochs == 25
    assert recipe.learning_rate == pytest.approx(0.3e-3)


def test_masks_blank_nothing_out_where_bands_are_not_normalised(parent: Checkpoint) -> None:
    masked = Recipe(augmentation=Augmentation(band_masks=2, time_masks=2))
    assert fine_tune_recipe(masked, parent, []).augmentation == masked.augmentation
    bare = {"band_std": torch.ones(16), "band_mean": torch.zeros(16)}
    tensors = {**parent.tensors, **bare}
    recipe = fine_tune_recipe(masked, replace(parent, tensors=tensors), [])
    assert recipe.augmentation == Augmentation()
    assert not recipe.normalise


def test_what_a_person_asks_for_stands(parent: Checkpoint) -> None:
    recipe = fine_tune_recipe(
        Recipe(epochs=7, learning_rate=0.1), parent, ["epochs", "learning_rate"]
    )
    assert (recipe.epochs, recipe.learning_rate) == (7, 0.1)


def test_another_network_than_the_parents_is_refused(parent: Checkpoint) -> None:
    with pytest.raises(RecipeError, match=r"has n_mels = 16; leave that option out"):
        fine_tune_recipe(Recipe(n_mels=64), parent, ["n_mels"])
