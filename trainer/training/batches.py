"""Batches of clips, and what is measured over them before and after the epochs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import BatchNorm2d

from classifier.model.classifier import ClipClassifier
from trainer.data.dataset import Dataset
from trainer.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from trainer.errors import TrainerError

# How often an epoch takes a clip, by the number of its label's: as it is there; by one over the
# root of the number; each label equally often.
BALANCES = {"none": 0.0, "sqrt": 0.5, "full": 1.0}
ENOUGH_APART = 2  # what is nearly balanced loses more by clips that are left out
MIN_BAND_STD_DB = 1.0  # a band that hardly moves is not blown up to noise


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


@torch.no_grad()
def refresh_batch_norm(
    model: ClipClassifier, dataset: Dataset, clips: Tensor, batch_size: int
) -> None:
    """Takes batch normalisation's statistics anew, over these clips as they will be served.

    Running averages lag behind the weights where an epoch has few steps, and they are those of
    varied and mixed clips. Izmailov et al., "Averaging weights leads to wider optima" (2018).
    """
    norms = [each for each in model.network.modules() if isinstance(each, BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
    model.train()
    order = torch.randperm(len(clips), generator=generator(0))  # the files come label by label
    for part in batches(clips[order.to(clips.device)], batch_size):
        model(dataset.audio(part))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


def epoch_order(dataset: Dataset, clips: Tensor, balance: str, rng: torch.Generator) -> Tensor:
    """As many positions in `clips` as there are clips, in a random order.

    With a balance the clips of rare labels are taken more than once, and some of common ones not;
    a clip of several labels counts as of its rarest, one of none as of a label of its own. Where
    no label has twice the clips of another, nothing changes.
    """
    everything = torch.arange(len(clips))
    order = torch.randperm(len(clips), generator=rng)
    if not BALANCES[balance]:
        return order
    targets = dataset.clip_targets(clips).cpu()
    targets = torch.cat([targets, targets.sum(1, keepdim=True) == 0], dim=1)
    numbers = targets.sum(0).clamp_min(1)
    rarest = torch.where(targets > 0, numbers, len(clips)).amin(1)
    if rarest.max() < ENOUGH_APART * rarest.min():
        return order
    wanted = rarest.double().pow(-BALANCES[balance])
    ends = (wanted * (len(clips) / wanted.sum())).cumsum(0)
    # Systematic sampling: nobody is taken less or more often than wanted by a whole time.
    ticks = everything + torch.rand(1, generator=rng, dtype=torch.float64)
    taken = torch.searchsorted(ends, ticks).clamp_max(len(clips) - 1)
    return taken[order]


def generator(*seeds: int) -> torch.Generator:
    """On the CPU, so that every device makes the same choices."""
    seed = int(np.random.SeedSequence(seeds).generate_state(1)[0])
    return torch.Generator().manual_seed(seed)


def batches(
    order: Tensor, batch_size: int, process_group: ProcessGroup = SINGLE_PROCESS
) -> Iterator[Tensor]:
    """Batches of at least two clips per process, since batch normalisation cannot train on one."""
    least = 2 * process_group.size
    return (part for part in torch.split(order, batch_size) if len(part) >= least)


def n_batches(n_clips: int, batch_size: int, process_group: ProcessGroup = SINGLE_PROCESS) -> int:
    """How many batches `batches` gives. Raises TrainerError where there is none."""
    count = len(list(batches(torch.empty(n_clips), batch_size, process_group)))
    if not count:
        least = 2 * process_group.size
        raise TrainerError(
            f"{n_clips} clips in batches of {batch_size} make no batch of {least}, the least that "
            f"{process_group.size} process(es) can learn from; take more files or a larger "
            "--batch-size"
        )
    return count
