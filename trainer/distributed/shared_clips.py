"""Shared clips: one copy of the decoded clips on each node, in memory that its processes map.

Axes: N clips, S samples.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.distributed as dist
from torch import Tensor

from storage.home.paths import make_folder
from trainer.data.clip_cache import ClipCache, map_clips
from trainer.data.dataset import Dataset
from trainer.distributed.process_group import ProcessGroup

CHUNK_BYTES = 64 * 2**20  # sent at once: a limit of time holds for each


def without_clips(dataset: Dataset) -> Dataset:
    """What the main process tells of its dataset; of the samples their shape."""
    return replace(dataset, samples=dataset.samples.to("meta"), file=None)


def share_clips(
    process_group: ProcessGroup, dataset: Dataset, new_cache: Callable[[int], ClipCache]
) -> Dataset:
    """The dataset with its samples, which are there in the main process only.

    They are sent to the first process of each node, which puts them into a cache for clips of S
    samples, and the others of the node map that. Raises TrainerError where there is no room.
    """
    attempt = process_group.attempt
    assert attempt is not None
    key = f"clips/{process_group.node}"
    if process_group.local_rank > 0:
        place = attempt.wait_for(key)
        n_clips, clip_samples = dataset.samples.shape
        with open(f"/proc/{place}", "r+b") as file:
            samples = map_clips(file, (n_clips, clip_samples))
        attempt.keys.set(f"maps/{process_group.rank}", "")
        return replace(dataset, samples=samples)
    if process_group.is_main_process:
        _send(process_group, dataset.samples)
    else:
        cache = new_cache(dataset.samples.shape[1])
        _receive(process_group, dataset.samples, cache)
        dataset = replace(dataset, samples=cache.tensor(), file=cache.file)
    assert dataset.file is not None
    attempt.keys.set(key, f"{os.getpid()}/fd/{dataset.file.fileno()}")
    for rank in process_group.followers:
        attempt.wait_for(f"maps/{rank}")
    dataset.file.close()
    return replace(dataset, file=None)


def _send(process_group: ProcessGroup, samples: Tensor) -> None:
    if len(set(process_group.nodes)) > 1:
        for chunk in _chunks(samples):
            dist.broadcast(chunk.view(torch.uint8), src=0, group=process_group.leaders)


def _receive(process_group: ProcessGroup, samples: Tensor, cache: ClipCache) -> None:
    n_bytes = samples.numel() * samples.element_size()
    if cache.folder and n_bytes > cache.limit_bytes:
        make_folder(cache.folder)  # a node may have no home yet
    for shape in _chunks(samples):
        chunk = torch.empty(shape.shape, dtype=shape.dtype)
        # gloo knows no int16.
        dist.broadcast(chunk.view(torch.uint8), src=0, group=process_group.leaders)
        cache.append(chunk.numpy())


def _chunks(samples: Tensor) -> tuple[Tensor, ...]:
    clip_bytes = samples.shape[1] * samples.element_size()
    return torch.split(samples, max(1, CHUNK_BYTES // clip_bytes))
