"""Hyperparameters, and those from which no network can be built."""

from __future__ import annotations

import pytest

from trainer.errors import RecipeError
from trainer.training.recipe import REFERENCE, recipe_with


def test_the_reference_has_the_audio_format_of_its_notebook() -> None:
    heard = REFERENCE.audio_format
    assert (heard.sample_rate_hz, heard.clip_seconds, heard.max_hz) == (22_050, 5.0, 11_025.0)
    assert (heard.n_fft, heard.hop_length, heard.n_mels, heard.n_frames) == (2048, 512, 128, 216)
    assert (heard.peak_decibels, heard.floor_decibels) == (True, 80.0)


def test_what_is_not_given_stays_as_it_is() -> None:
    recipe = recipe_with("reference", epochs=3)
    assert (recipe.epochs, recipe.learning_rate) == (3, 1e-3)


def test_short_clips_get_shorter_hops() -> None:
    heard = recipe_with("default", sample_rate_hz=8000, clip_seconds=0.25, n_mels=16).audio_format
    assert (heard.hop_length, heard.n_fft, heard.n_frames) == (32, 256, 63)


def test_short_clips_get_windows_that_tell_their_bands_apart() -> None:
    recipe = recipe_with("default", sample_rate_hz=8000, clip_seconds=0.5, n_mels=64)
    assert (recipe.audio_format.hop_length, recipe.audio_format.n_fft) == (64, 256)
    assert (recipe.mel_bank().sum(1) > 0).all()


@pytest.mark.parametrize(
    ("changes", "said"),
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
def test_a_recipe_for_no_network_says_what_to_change(changes: dict[str, object], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        recipe_with("reference", **changes).mel_bank()
