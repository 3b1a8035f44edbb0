"""Clips in, logits out: log-mel, normalisation and network as one module.

Training, evaluation and serving all go through it, so that they cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from classifier.errors import CheckpointError
from classifier.model.audio_format import AudioFormat
from classifier.model.log_mel import LogMel
from classifier.model.resnet9 import REFERENCE_WIDTHS, ResNet9

MAX_WIDTH = 8192

Task = Literal["single", "multi"]  # one label of all, or each label by itself


@dataclass(frozen=True)
class NetworkShape:
    """What ResNet9 is built from, besides the number of labels."""

    widths: tuple[int, int, int, int] = REFERENCE_WIDTHS
    early_pooling: bool = False
    max_pooling: bool = False

    def __post_init__(self) -> None:
        if not all(1 <= width <= MAX_WIDTH for width in self.widths):
            raise CheckpointError(
                f"network field widths = {self.widths!r} cannot be right; "
                f"each is between 1 and {MAX_WIDTH}"
            )


def build_network(shape: NetworkShape, n_labels: int) -> ResNet9:
    return ResNet9(n_labels, shape.widths, shape.early_pooling, shape.max_pooling)


class ClipClassifier(nn.Module):
    """Clips (B, S) to logits (B, L); `scores` gives calibrated probabilities (B, L)."""

    band_mean: Tensor
    band_std: Tensor
    label_temperatures: Tensor

    def __init__(
        self,
        labels: Sequence[str],
        audio_format: AudioFormat,
        shape: NetworkShape,
        mel_bank: Tensor,
        task: Task = "single",
    ) -> None:
        super().__init__()
        self.task = task
        self.logmel = LogMel(audio_format, mel_bank)
        self.network = build_network(shape, len(labels))
        self.register_buffer("band_mean", torch.zeros(audio_format.n_mels), persistent=False)
        self.register_buffer("band_std", torch.ones(audio_format.n_mels), persistent=False)
        self.register_buffer("label_temperatures", torch.ones(len(labels)), persistent=False)
        self.temperature = 1.0

    def spectrograms(self, clips: Tensor) -> Tensor:
        """The network's input (B, 1, M, F): decibels, normalised by the training clips' bands."""
        decibels: Tensor = self.logmel(clips)
        return ((decibels - self.band_mean[:, None]) / self.band_std[:, None]).unsqueeze(1)

    def forward(self, clips: Tensor) -> Tensor:
        return self.network(self.spectrograms(clips))  # type: ignore[no-any-return]

    def scores(self, clips: Tensor) -> Tensor:
        return self.probabilities(self(clips))

    def calibrate(self, temperature: float | Iterable[float]) -> None:
        """Takes the temperature of a single task, or one for each label of a multi task."""
        if isinstance(temperature, float):
            self.temperature = temperature
        else:
            self.label_temperatures.copy_(torch.tensor(list(temperature)))

    def probabilities(self, logits: Tensor) -> Tensor:
        """Logits (B, L) to probabilities: of one label of all, or of each label by itself."""
        if self.task == "multi":
            return torch.sigmoid(logits.float() / self.label_temperatures)
        return torch.softmax(logits.float() / self.temperature, dim=1)
