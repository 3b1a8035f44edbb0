"""The training run, from top to bottom: network, optimizer, loop, validation."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy as clip_cross_entropy
from torch.optim import Adam, AdamW, Optimizer

from classifier.clip_classifier import ClipClassifier
from trainer.dataset import Dataset
from trainer.errors import TrainingDiverged
from trainer.evaluation import accuracy, cross_entropy, score_recordings
from trainer.recipes import Recipe
from trainer.splits import Split

OPTIMIZERS: dict[str, type[Optimizer]] = {"adam": Adam, "adamw": AdamW}
MIN_BAND_STD_DB = 1.0  # a band that hardly moves is not blown up to noise


@dataclass(frozen=True)
class EpochFacts:
    """Of one pass: losses in nats; the validation's are None where nothing validates."""

    epoch: int
    train_loss: float
    val_loss: float | None
    val_accuracy: float | None
    seconds: float


@dataclass(frozen=True)
class Trained:
    """A network after its last epoch; no epoch is chosen."""

    model: ClipClassifier
    history: tuple[EpochFacts, ...]


def train_network(
    dataset: Dataset,
    split: Split,
    recipe: Recipe,
    seed: int,
    on_epoch: Callable[[EpochFacts], None] = lambda _: None,
) -> Trained:
    """Trains on the device that holds the dataset; the same seed there gives the same weights.

    Raises TrainingDiverged where the loss or a weight is no number any more.
    """
    seed_everything(seed)
    model = new_model(dataset, recipe)
    training = dataset.clips_of(split.train)
    if recipe.normalise:
        measure_bands(model, dataset, training, recipe.batch_size)
    optimizer = OPTIMIZERS[recipe.optimizer](model.parameters(), lr=recipe.learning_rate)  # type: ignore[call-arg]
    shuffle = torch.Generator().manual_seed(seed)
    history = []
    # cuDNN would otherwise pick its convolutions by a stopwatch.
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        for epoch in range(1, recipe.epochs + 1):
            began = time.perf_counter()
            order = training[torch.randperm(len(training), generator=shuffle).to(dataset.device)]
            train_loss = train_epoch(model, optimizer, dataset, order, recipe.batch_size)
            refuse_divergence(model, train_loss, epoch, recipe)
            val_loss, val_accuracy = validate(model, dataset, split.validation, recipe.batch_size)
            seconds = time.perf_counter() - began
            history.append(EpochFacts(epoch, train_loss, val_loss, val_accuracy, seconds))
            on_epoch(history[-1])
    return Trained(model.eval(), tuple(history))


def seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def new_model(dataset: Dataset, recipe: Recipe) -> ClipClassifier:
    model = ClipClassifier(
        dataset.labels, recipe.audio_format, recipe.network_shape, recipe.mel_bank()
    )
    model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model.to(dataset.device)


@torch.inference_mode()
def measure_bands(model: ClipClassifier, dataset: Dataset, clips: Tensor, batch_size: int) -> None:
    """Sets mean and deviation of each band (M,) over all frames of these clips."""
    total, squares, n_frames = (torch.zeros((), dtype=torch.float64) for _ in range(3))
    for part in torch.split(clips, batch_size):
        decibels = model.logmel(dataset.audio(part)).cpu().double()
        total = total + decibels.sum((0, 2))
        squares = squares + decibels.square().sum((0, 2))
        n_frames += decibels.shape[0] * decibels.shape[2]
    mean = total / n_frames
    deviation = (squares / n_frames - mean.square()).clamp_min(0).sqrt()
    model.band_mean.copy_(mean)
    model.band_std.copy_(deviation.clamp_min(MIN_BAND_STD_DB))


def train_epoch(
    model: ClipClassifier, optimizer: Optimizer, dataset: Dataset, order: Tensor, batch_size: int
) -> float:
    """One pass over the clips in this order; their mean loss while the network was learning."""
    model.train()
    total, n_clips = torch.zeros((), device=dataset.device), 0
    for part in batches(order, batch_size):
        loss = clip_cross_entropy(model(dataset.audio(part)), dataset.clip_truth(part))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += loss.detach() * len(part)  # stays on the device: nothing waits for it
        n_clips += len(part)
    return float(total) / n_clips


def batches(order: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Batch normalisation has nothing to compare a single clip with; another pass will bring it."""
    return (part for part in torch.split(order, batch_size) if len(part) > 1)


def validate(
    model: ClipClassifier, dataset: Dataset, positions: Sequence[int], batch_size: int
) -> tuple[float | None, float | None]:
    """Loss and accuracy over recordings; None without any."""
    if not positions:
        return None, None
    scores = score_recordings(model, dataset, positions, batch_size)
    truth = dataset.truth[list(positions)].cpu().numpy()
    return cross_entropy(scores, truth), accuracy(scores, truth)


def refuse_divergence(model: ClipClassifier, train_loss: float, epoch: int, recipe: Recipe) -> None:
    tensors = model.network.state_dict().values()
    if np.isfinite(train_loss) and all(bool(tensor.isfinite().all()) for tensor in tensors):
        return
    raise TrainingDiverged(
        f"training diverged in epoch {epoch}: the loss or a weight is no number any more; "
        f"take an --lr smaller than {recipe.learning_rate:g}"
    )
