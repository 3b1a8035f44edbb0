"""The training run, from top to bottom: network, loop, validation."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.functional import cross_entropy as clip_cross_entropy

from classifier.inference.device import has_fast_bfloat16
from classifier.model.checkpoint import Checkpoint
from classifier.model.classifier import ClipClassifier, Task
from trainer.data.dataset import Dataset
from trainer.data.splits import Split
from trainer.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from trainer.evaluation.metrics import accuracy, answer_recordings, cross_entropy, on_device
from trainer.evaluation.multi_label import validate_sets
from trainer.training.augmentation import equalise, mask_spectrograms, mix_clips, vary_clips
from trainer.training.batches import (
    batches,
    epoch_order,
    generator,
    measure_bands,
    n_batches,
    refresh_batch_norm,
)
from trainer.training.fine_tune import fine_tune_model
from trainer.training.optimizer import Optimization
from trainer.training.recipe import Recipe
from trainer.training.resume import NO_RESUME, RunStage

SETTLED_AFTER_STEPS = 300  # the running averages of batch normalisation have caught up by then


@dataclass(frozen=True)
class EpochFacts:
    """Of one epoch: losses in nats; the validation's are None where nothing validates.

    In a multi task the accuracy counts recordings of which exactly the right labels lie above even
    odds, and there is a macro average precision.
    """

    epoch: int
    train_loss: float
    val_loss: float | None
    val_accuracy: float | None
    seconds: float
    val_macro_ap: float | None = None

    def line(self, n_epochs: int) -> str:
        text = f"epoch {self.epoch:{len(str(n_epochs))}}/{n_epochs}  loss {self.train_loss:.3f}"
        if self.val_loss is not None:
            text += f"  validation loss {self.val_loss:.3f}  accuracy {self.val_accuracy:.1%}"
        if self.val_macro_ap is not None:
            text += f"  macro AP {self.val_macro_ap:.3f}"
        return f"{text}  {self.seconds:.1f} s"


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
    *,
    parent: Checkpoint | None = None,
    stage: RunStage = NO_RESUME,
    process_group: ProcessGroup = SINGLE_PROCESS,
) -> Trained:
    """Trains on the device that holds the dataset; the same seed there gives the same weights.

    Begins with the weights of `parent`, if there is one. Resumes after the epoch that `stage` has
    saved, and saves its own there. Raises TrainingDiverged where the loss or a
    weight is no number any more.
    """
    seed_everything(seed)
    training = dataset.clips_of(split.train)
    model = begin(dataset, training, recipe, parent)
    steps = n_batches(len(training), recipe.batch_size, process_group)
    optimization = Optimization(model, recipe, steps, process_group)
    history = []
    if (saved := process_group.broadcast(stage.load)) is not None:
        optimization.restore(saved)
        history = [EpochFacts(**facts) for facts in saved.facts["history"]]
    # cuDNN would otherwise choose its convolutions by measured time.
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        for epoch in range(1 + len(history), recipe.epochs + 1):
            started = time.perf_counter()
            train_loss = train_epoch(
                optimization, dataset, training, recipe, (seed, epoch), process_group
            )
            averaged = optimization.averaged
            optimization.require_finite(train_loss, epoch)
            val_loss, val_accuracy, macro_ap = validate(
                averaged, dataset, split.validation, recipe.batch_size, process_group
            )
            seconds = time.perf_counter() - started
            facts = EpochFacts(epoch, train_loss, val_loss, val_accuracy, seconds, macro_ap)
            history.append(facts)
            if stage.is_due(is_last=epoch == recipe.epochs) and process_group.is_main_process:
                stage.save(optimization.saved({"history": [asdict(facts) for facts in history]}))
            on_epoch(history[-1])
    model = optimization.averaged.eval()
    if recipe.settle and len(history) * steps < SETTLED_AFTER_STEPS:
        refresh_batch_norm(model, dataset, training, recipe.batch_size)
    return Trained(model, tuple(history))


def begin(
    dataset: Dataset, training: Tensor, recipe: Recipe, parent: Checkpoint | None
) -> ClipClassifier:
    """The model before its first step; a parent's spectrograms stay as they were normalised."""
    if parent is not None:
        return on_device(fine_tune_model(parent, dataset.labels, dataset.task), dataset.device)
    model = new_model(dataset, recipe)
    if recipe.normalise:
        measure_bands(model, dataset, training, recipe.batch_size)
    return model


def seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def new_model(dataset: Dataset, recipe: Recipe) -> ClipClassifier:
    model = ClipClassifier(
        dataset.labels, recipe.audio_format, recipe.network_shape, recipe.mel_bank(), dataset.task
    )
    return on_device(model, dataset.device)


def train_epoch(
    optimization: Optimization,
    dataset: Dataset,
    clips: Tensor,
    recipe: Recipe,
    seeds: tuple[int, int],
    process_group: ProcessGroup = SINGLE_PROCESS,
) -> float:
    """One pass over the clips in a new order; returns their mean loss during training.

    `seeds` are the seed of the run and the number of the epoch: each epoch has random numbers of
    its own, so that a run can resume, and each process varies its clips in its own way.
    """
    optimization.model.train()
    total, n_clips = torch.zeros((), device=dataset.device), 0
    order = epoch_order(dataset, clips, recipe.balance, generator(*seeds)).to(dataset.device)
    rng = generator(*seeds, 1 + process_group.rank)
    for batch in batches(clips[order], recipe.batch_size, process_group):
        part = process_group.shard(batch)
        loss = batch_loss(optimization, dataset, part, recipe, rng)
        optimization.step(loss)
        total += loss.detach() * len(part)  # stays on the device: nothing waits for it
        n_clips += len(batch)
    return float(process_group.sum(total)) / n_clips


def batch_loss(
    optimization: Optimization,
    dataset: Dataset,
    part: Tensor,
    recipe: Recipe,
    rng: torch.Generator,
) -> Tensor:
    """Mean loss in nats over the clips with these indices (B,), varied and mixed."""
    augmentation, device = recipe.augmentation, dataset.device
    audio = vary_clips(dataset.audio(part), augmentation, rng)
    targets = dataset.clip_targets(part)
    audio, targets = mix_clips(audio, targets, augmentation, rng, dataset.task)
    spectrograms = optimization.model.spectrograms(audio)
    spectrograms = equalise(spectrograms, optimization.model.band_std, augmentation, rng)
    spectrograms = mask_spectrograms(spectrograms, augmentation, rng)
    in_bfloat16 = recipe.bfloat16 and has_fast_bfloat16(device)
    with torch.autocast(device.type, torch.bfloat16, enabled=in_bfloat16):
        logits = optimization.network(spectrograms)
    return clip_loss(logits.float(), targets, dataset.task, recipe.label_smoothing)


def clip_loss(logits: Tensor, targets: Tensor, task: Task, label_smoothing: float) -> Tensor:
    """Mean loss in nats of logits (B, L): cross entropy, or that of each label by itself."""
    if task == "multi":
        smoothed = targets * (1 - label_smoothing) + label_smoothing / 2
        return binary_cross_entropy_with_logits(logits, smoothed)
    return clip_cross_entropy(logits, targets, label_smoothing=label_smoothing)


def validate(
    model: ClipClassifier,
    dataset: Dataset,
    positions: Sequence[int],
    batch_size: int,
    process_group: ProcessGroup = SINGLE_PROCESS,
) -> tuple[float | None, float | None, float | None]:
    """Loss, accuracy and, in a multi task, macro average precision; None without recordings."""
    if not positions:
        return None, None, None
    answers = answer_recordings(
        model, dataset.labels, dataset, positions, batch_size, process_group
    )
    truth = dataset.truth[list(positions)].cpu().numpy()
    if dataset.task == "multi":
        return validate_sets(answers.told_scores, truth)
    return cross_entropy(answers.scores, truth), accuracy(answers.told_scores, truth), None
