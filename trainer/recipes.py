"""Recipes: every hyperparameter of a training run in one place, with its unit and reason."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from classifier.audio_format import AudioFormat
from classifier.clip_classifier import NetworkShape
from classifier.errors import CheckpointError
from classifier.logmel import mel_filter_bank
from classifier.resnet9 import REFERENCE_WIDTHS
from trainer.errors import RecipeError

REFERENCE_N_FFT = 2048
REFERENCE_HOP_LENGTH = 512
HOPS_PER_WINDOW = REFERENCE_N_FFT // REFERENCE_HOP_LENGTH
ROOMY_FRAMES = 16  # fewer than that and the poolings leave nothing to average over
MIN_HOP_LENGTH = 16


@dataclass(frozen=True)
class Recipe:
    """What the reference does, unless a field says otherwise.

    epochs: passes over the training clips. No epoch is picked afterwards: the last one is kept,
        since picking the best on the validation set would make its accuracy too good to be true.
    optimizer, learning_rate: Adam at its textbook rate; `adamw` is Adam with decoupled decay.
    batch_size: clips in a step.
    widths, early_pooling: the network; early pooling quarters its arithmetic.
    sample_rate_hz, clip_seconds, n_mels: what it hears. The range of the bands ends at half the
        sample rate.
    peak_decibels, floor_decibels: decibels below the loudest cell of a clip, cut off at 80, which
        makes the network blind to how loud a recording is.
    normalise: bring each band to mean 0 and deviation 1 over the training clips.
    """

    name: str = "reference"
    epochs: int = 20
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    batch_size: int = 32
    widths: tuple[int, int, int, int] = REFERENCE_WIDTHS
    early_pooling: bool = False
    sample_rate_hz: int = 22_050
    clip_seconds: float = 5.0
    n_mels: int = 128
    peak_decibels: bool = True
    floor_decibels: float = 80.0
    normalise: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < math.inf:
            raise RecipeError(f"--lr {self.learning_rate} is no learning rate; try 0.001")

    @property
    def audio_format(self) -> AudioFormat:
        """Raises RecipeError where these numbers make no spectrogram the network can read."""
        hop_length = self._hop_length()
        try:
            audio_format = AudioFormat(
                sample_rate_hz=self.sample_rate_hz,
                clip_seconds=self.clip_seconds,
                n_fft=HOPS_PER_WINDOW * hop_length,
                hop_length=hop_length,
                n_mels=self.n_mels,
                max_hz=self.sample_rate_hz / 2,
                peak_decibels=self.peak_decibels,
                floor_decibels=self.floor_decibels,
            )
        except CheckpointError as error:
            raise RecipeError(
                f"no network can hear this: {error} with clips of {self.clip_seconds:g} s at "
                f"{self.sample_rate_hz} Hz; take a larger --clip-seconds or a smaller --mels"
            ) from error
        self._check_size(audio_format)
        return audio_format

    @property
    def network_shape(self) -> NetworkShape:
        return NetworkShape(self.widths, self.early_pooling)

    def mel_bank(self) -> Tensor:
        """(M, n_fft // 2 + 1). Raises RecipeError where a band is narrower than the STFT's bins."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # librosa's word on empty bands, which is ours below
            bank = mel_filter_bank(self.audio_format)
        empty = int((bank.sum(1) == 0).sum())
        if empty:
            raise RecipeError(
                f"{empty} of {self.n_mels} mel bands would hear nothing at {self.sample_rate_hz} Hz"
                f" and {self.clip_seconds:g} s; take a smaller --mels, or a larger --clip-seconds"
            )
        return bank

    def _hop_length(self) -> int:
        """The reference's, halved for short clips until they give enough frames."""
        samples = round(self.clip_seconds * self.sample_rate_hz)
        hop_length = REFERENCE_HOP_LENGTH
        while 1 + samples // hop_length < ROOMY_FRAMES and hop_length > MIN_HOP_LENGTH:
            hop_length //= 2
        return hop_length

    def _check_size(self, audio_format: AudioFormat) -> None:
        """Each pooling halves both axes, and something must be left."""
        least = 16 if self.early_pooling else 8
        if audio_format.n_frames < least:
            raise RecipeError(
                f"a clip of {self.clip_seconds:g} s gives {audio_format.n_frames} frames, and the "
                f"network needs {least}; take a larger --clip-seconds"
            )
        if self.n_mels < least:
            raise RecipeError(
                f"{self.n_mels} mel bands are too few, the network needs {least}; "
                "take a larger --mels"
            )


# The notebook's whole choice: no augmentation, no normalisation, loudness taken out.
REFERENCE = Recipe()

# The reference, until another measures better.
DEFAULT = REFERENCE

RECIPES = {"default": DEFAULT, "reference": REFERENCE}


def recipe_with(name: str, **overrides: Any) -> Recipe:
    """The recipe of this name with some fields changed; None changes nothing."""
    changes = {field: value for field, value in overrides.items() if value is not None}
    return replace(RECIPES[name], **changes)
