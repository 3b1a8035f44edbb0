"""Recipes: every hyperparameter of a training run in one place, with its unit and reason."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from torch import Tensor

from classifier.errors import CheckpointError
from classifier.model.audio_format import AudioFormat
from classifier.model.classifier import NetworkShape
from classifier.model.log_mel import mel_filter_bank
from classifier.model.resnet9 import REFERENCE_WIDTHS, widths_from
from trainer.errors import RecipeError
from trainer.training.augmentation import NO_AUGMENTATION, Augmentation

REFERENCE_RATE_HZ = 22_050
REFERENCE_N_FFT = 2048
REFERENCE_HOP_LENGTH = 512
HOPS_PER_WINDOW = REFERENCE_N_FFT // REFERENCE_HOP_LENGTH
ROOMY_FRAMES = 60  # fewer than that and the poolings leave little to average over
MIN_HOP_LENGTH = 16
MIN_WINDOW_SECONDS = 0.025  # as is usual for speech
MAX_WINDOWS = 4  # how much longer than usual a window may be, so that no band goes empty
FULLY_VARIED_EPOCHS = 40
STEPS_LIKE_AN_EPOCH = 110  # more than that count as several epochs


@dataclass(frozen=True)
class Recipe:
    """What the reference does, unless a field says otherwise.

    epochs: passes over the training clips. No epoch is picked afterwards: the last one is kept,
        since picking the best on the validation set would make its accuracy too good to be true.
    optimizer, learning_rate: Adam at its textbook rate; `adamw` is Adam with decoupled decay.
    batch_size: clips in a step.
    balance: how often an epoch takes the clips of rare labels (see `batches.epoch_order`).
    widths, early_pooling: the network; early pooling quarters its arithmetic.
    sample_rate_hz, clip_seconds, n_mels: its audio format. The range of the bands ends at half the
        sample rate.
    peak_decibels, floor_decibels: decibels below the loudest cell of a clip, cut off at 80, which
        makes the network ignore how loud a recording is.
    normalise: bring each band to mean 0 and deviation 1 over the training clips.
    fits_the_files: sample rate and clip length follow the labelled files where none is asked for.
    weight_decay: of adamw, for each step in shares of the learning rate.
    schedule: `constant`, or `one-cycle`: up to the learning rate, then down to nothing.
    label_smoothing: share of each target that is spread over all labels.
    averaging: how much of the running average of the weights a step keeps; 0 is no average.
    settle: after a short training, take the statistics of batch normalisation anew, on clips as
        they are served.
    bfloat16: multiply in 16 bits where the device does that itself; sums and weights keep 32.
    max_pooling: see ResNet9.
    augmentation: see Augmentation.
    """

    name: str = "reference"
    epochs: int = 20
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    batch_size: int = 32
    balance: str = "none"
    widths: tuple[int, int, int, int] = REFERENCE_WIDTHS
    early_pooling: bool = False
    sample_rate_hz: int = REFERENCE_RATE_HZ
    clip_seconds: float = 5.0
    n_mels: int = 128
    peak_decibels: bool = True
    floor_decibels: float = 80.0
    normalise: bool = False
    fits_the_files: bool = False
    weight_decay: float = 0.0
    schedule: str = "constant"
    label_smoothing: float = 0.0
    averaging: float = 0.0
    settle: bool = False
    bfloat16: bool = False
    max_pooling: bool = False
    augmentation: Augmentation = NO_AUGMENTATION

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < math.inf:
            raise RecipeError(f"--lr {self.learning_rate} is no learning rate; try 0.001")

    @property
    def audio_format(self) -> AudioFormat:
        """Raises RecipeError where these numbers make no spectrogram that fits the network."""
        hop_length = self._hop_length()
        n_fft = HOPS_PER_WINDOW * hop_length
        while n_fft < MAX_WINDOWS * HOPS_PER_WINDOW * hop_length:
            if self._separates_bands(n_fft, hop_length):
                break
            n_fft *= 2
        try:
            audio_format = self._format(n_fft, hop_length)
        except CheckpointError as error:
            raise RecipeError(
                f"no network can hear this: {error} with clips of {self.clip_seconds:g} s at "
                f"{self.sample_rate_hz} Hz; take a larger --clip-seconds or a smaller --mels"
            ) from error
        self._check_size(audio_format)
        return audio_format

    @property
    def network_shape(self) -> NetworkShape:
        return NetworkShape(self.widths, self.early_pooling, self.max_pooling)

    def for_length(self, n_clips: int, epochs_share: float = 1.0) -> Recipe:
        """With as much variation as a training on so many clips bears.

        `epochs_share`: what part of the usual epochs does here, as in fine-tuning.
        """
        epochs = self.epochs / epochs_share
        strength = variation_strength(epochs, epochs * n_clips / self.batch_size)
        return replace(self, augmentation=self.augmentation.scaled(strength))

    def mel_bank(self) -> Tensor:
        """(M, n_fft // 2 + 1). Raises RecipeError where a band is narrower than the STFT's bins."""
        bank = _quiet_bank(self.audio_format)
        if empty := _n_empty(bank):
            raise RecipeError(
                f"{empty} of {self.n_mels} mel bands would hear nothing at {self.sample_rate_hz} Hz"
                f" and {self.clip_seconds:g} s; take a smaller --mels, or a larger --clip-seconds"
            )
        return bank

    def _format(self, n_fft: int, hop_length: int) -> AudioFormat:
        return AudioFormat(
            sample_rate_hz=self.sample_rate_hz,
            clip_seconds=self.clip_seconds,
            n_fft=n_fft,
            hop_length=hop_length,
            n_mels=self.n_mels,
            max_hz=self.sample_rate_hz / 2,
            peak_decibels=self.peak_decibels,
            floor_decibels=self.floor_decibels,
        )

    def _separates_bands(self, n_fft: int, hop_length: int) -> bool:
        """Whether the window separates tones, and every mel band has a bin.

        Short clips have short hops, and windows of four hops would separate too few frequencies.
        """
        if n_fft < min(REFERENCE_N_FFT, MIN_WINDOW_SECONDS * self.sample_rate_hz):
            return False
        try:
            return not _n_empty(_quiet_bank(self._format(n_fft, hop_length)))
        except CheckpointError:
            return False

    def _hop_length(self) -> int:
        """The reference's, halved for short clips and low rates until it is short enough.

        On 960 spoken words of up to 0.5 s at 8 kHz, 16 frames gave 80 % and 63 gave 97 %.
        """
        samples = round(self.clip_seconds * self.sample_rate_hz)
        hop_length = REFERENCE_HOP_LENGTH
        longest = REFERENCE_HOP_LENGTH / REFERENCE_RATE_HZ * self.sample_rate_hz
        while hop_length > MIN_HOP_LENGTH and (
            hop_length > longest or 1 + samples // hop_length < ROOMY_FRAMES
        ):
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


def variation_strength(epochs: float, n_steps: float) -> float:
    """How much of its variation a training of this length bears, up to 1.

    What sounds different each time is learned slowly. Measured on recordings that were learned in
    part and on others (benchmarks/history/accuracy.md); for epochs of many steps, by analogy.
    """
    length = max(epochs, n_steps / STEPS_LIKE_AN_EPOCH) / FULLY_VARIED_EPOCHS
    return float(min(1.0, length**2))


@cache
def _quiet_bank(audio_format: AudioFormat) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # librosa warns of empty bands, which are refused here
        return mel_filter_bank(audio_format)


def _n_empty(bank: Tensor) -> int:
    return int((bank.sum(1) == 0).sum())


# The notebook's whole choice: no augmentation, no normalisation, loudness taken out.
REFERENCE = Recipe()

# What measured best on ESC-10's five folds for its cost: see benchmarks/history/accuracy.md.
DEFAULT = Recipe(
    name="default",
    epochs=150,
    optimizer="adamw",
    learning_rate=5e-3,
    batch_size=16,
    balance="sqrt",
    weight_decay=1e-2,
    schedule="one-cycle",
    averaging=0.98,
    settle=True,
    bfloat16=True,
    widths=widths_from(16),
    early_pooling=True,
    max_pooling=True,
    n_mels=64,
    peak_decibels=False,
    normalise=True,
    fits_the_files=True,
    augmentation=Augmentation(
        mixing=0.5,
        shift=1.0,
        gain_decibels=6.0,
        equalise_decibels=12.0,
        band_masks=2,
        time_masks=2,
    ),
)

# The choices of --vary.
VARIATIONS = {
    "full": DEFAULT.augmentation,
    "shift": Augmentation(shift=1.0),
    "none": NO_AUGMENTATION,
}

RECIPES = {"default": DEFAULT, "reference": REFERENCE}


def recipe_with(name: str, **changes: Any) -> Recipe:
    """The recipe of this name with some fields changed."""
    return replace(RECIPES[name], **changes)
