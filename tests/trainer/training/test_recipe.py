"""Hyperparameters, and those from which no network can be built."""

from __future__ import annotations

import pytest

from trainer.errors import RecipeError
from trainer.training.fine_tune import EPOCHS_SHARE
from trainer.training.recipe import DEFAULT, REFERENCE, recipe_with, variation_strength


def test_the_reference_has_the_audio_format_of_its_notebook() -> None:
    audio_format = REFERENCE.audio_format
    assert (audio_format.sample_rate_hz, audio_format.clip_seconds, audio_format.max_hz) == (
        22_050,
        5.0,
        11_025.0,
    )
    assert (
        audio_format.n_fft,
        audio_format.hop_length,
        audio_format.n_mels,
        audio_format.n_frames,
    ) == (2048, 512, 128, 216)
    assert (audio_format.peak_decibels, audio_format.floor_decibels) == (True, 80.0)


def test_what_is_not_given_stays_as_it_is() -> None:
    recipe = recipe_with("reference", epochs=3)
    assert (recipe.epochs, recipe.learning_rate) == (3, 1e-3)


def test_short_clips_get_shorter_hops() -> None:
    audio_format = recipe_with(
        "default", sample_rate_hz=8000, clip_seconds=0.25, n_mels=16
    ).audio_format
    assert (audio_format.hop_length, audio_format.n_fft, audio_format.n_frames) == (32, 256, 63)


def test_short_clips_get_windows_that_tell_their_bands_apart() -> None:
    recipe = recipe_with("default", sample_rate_hz=8000, clip_seconds=0.5, n_mels=64)
    assert (recipe.audio_format.hop_length, recipe.audio_format.n_fft) == (64, 256)
    assert (recipe.mel_bank().sum(1) > 0).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip_seconds": 0.01, "sample_rate_hz": 8000, "n_mels": 16}, "larger --clip-seconds"),
        ({"n_mels": 4}, "larger --mels"),
        ({"n_mels": 8, "early_pooling": True}, "larger --mels"),
        ({"n_mels": 5000}, "n_mels = 5000"),
        (
            {"n_mels": 129, "sample_rate_hz": 22050, "clip_seconds": 0.02},
            "mel bands would hear nothing",
        ),
    ],
)
def test_a_recipe_for_no_network_says_what_to_change(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe_with("reference", **changes).mel_bank()


@pytest.mark.parametrize("n_clips", [2, 400, 1_000_000])
def test_a_long_training_has_all_of_its_variation(n_clips: int) -> None:
    assert DEFAULT.for_length(n_clips) == DEFAULT
    fine_tuning = recipe_with("default", epochs=round(DEFAULT.epochs * EPOCHS_SHARE))
    assert fine_tuning.for_length(n_clips, EPOCHS_SHARE) == fine_tuning


def test_variation_grows_with_the_epochs() -> None:
    strengths = [variation_strength(epochs, epochs * 20) for epochs in range(1, 151)]
    assert strengths == sorted(strengths)
    assert 0 < strengths[0] < strengths[9] < 0.1 < strengths[19] < 0.5
    assert strengths[-1] == 1


def test_a_few_epochs_of_many_steps_are_a_long_training() -> None:
    assert recipe_with("default", epochs=10).for_length(20_000).augmentation == DEFAULT.augmentation
