"""Distributed training: several processes, started by torchrun, train one network together.

Every process holds the whole dataset, trains on its shard of each batch and ends with the same
weights. Only the main process (rank 0) prints, writes and publishes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from trainer.data.dataset import Dataset

T = TypeVar("T")

WAIT_LIMIT = timedelta(days=7)  # the others wait while the main process decodes
TENSORS = ("samples", "peaks", "recording", "rows")


@dataclass(frozen=True)
class ProcessGroup:
    """`rank` counts the `size` processes from 0; alone it is 0 of 1."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    slow_group: dist.ProcessGroup | None = None  # for exchanges after up to WAIT_LIMIT

    @property
    def is_main_process(self) -> bool:
        return self.rank == 0

    def device(self, chosen: torch.device) -> torch.device:
        """A GPU of its own for each process on this machine."""
        if self.size > 1 and chosen.type == "cuda":
            return torch.device("cuda", self.local_rank)
        return chosen

    def shard(self, batch: Tensor) -> Tensor:
        """This process's part of a batch (B,): every `size`-th clip."""
        return batch[self.rank :: self.size]

    def wrap(self, network: nn.Module) -> nn.Module:
        """The network, its gradients averaged over the group."""
        return network if self.size == 1 else DistributedDataParallel(network)

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def broadcast(self, choose: Callable[[], T]) -> T:
        """What the main process chooses, in every process: two might read files differently."""
        if self.size == 1:
            return choose()
        chosen: list[Any] = [choose() if self.is_main_process else None]
        # Pickled, but between processes of one program.
        dist.broadcast_object_list(chosen, src=0, group=self.slow_group)
        return chosen[0]  # type: ignore[no-any-return]

    def broadcast_dataset(self, decode: Callable[[], Dataset]) -> Dataset:
        """The dataset that the main process decodes into main memory, in every process."""
        if self.size == 1:
            return decode()
        tensors: dict[str, Tensor] = {}

        def describe() -> tuple[Dataset, dict[str, Any]]:
            dataset, nothing = decode(), torch.empty(0)
            tensors.update({name: getattr(dataset, name) for name in TENSORS})
            shapes = {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
            rest: Dataset = replace(dataset, **dict.fromkeys(TENSORS, nothing))  # type: ignore[arg-type]
            return rest, shapes

        rest, shapes = self.broadcast(describe)
        for name, (shape, dtype) in shapes.items():
            tensors.setdefault(name, torch.empty(shape, dtype=dtype))
            dist.broadcast(tensors[name].view(torch.uint8), src=0)  # gloo knows no int16
        return replace(rest, **tensors)  # type: ignore[arg-type]


SINGLE_PROCESS = ProcessGroup()


@contextmanager
def open_process_group(environ: Mapping[str, str] = os.environ) -> Iterator[ProcessGroup]:
    """The group that torchrun's variables describe; SINGLE_PROCESS without them."""
    size = int(environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield SINGLE_PROCESS
        return
    backends = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backends)
    try:
        slow_group = dist.new_group(backend="gloo", timeout=WAIT_LIMIT)
        yield ProcessGroup(dist.get_rank(), size, int(environ.get("LOCAL_RANK", "0")), slow_group)
    finally:
        dist.destroy_process_group()
