"""Several processes that train one network together, started by torchrun.

Every process holds the whole dataset, trains on its share of each batch and ends with the same
weights; the first one alone speaks, writes and publishes.
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

PATIENCE = timedelta(days=7)  # the others wait while the first one decodes
TENSORS = ("samples", "peaks", "recording", "rows")


@dataclass(frozen=True)
class ProcessGroup:
    """`rank` counts the `size` processes from 0; alone it is 0 of 1."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    patient: dist.ProcessGroup | None = None  # in which one may wait long for another

    @property
    def speaks(self) -> bool:
        return self.rank == 0

    def device(self, chosen: torch.device) -> torch.device:
        """A GPU of its own for each process on this machine."""
        if self.size > 1 and chosen.type == "cuda":
            return torch.device("cuda", self.local_rank)
        return chosen

    def share(self, batch: Tensor) -> Tensor:
        """This process's part of a batch (B,)."""
        return batch[self.rank :: self.size]

    def joined(self, network: nn.Module) -> nn.Module:
        """The network whose gradients are averaged over the team."""
        if self.size == 1:
            return network
        return DistributedDataParallel(network)

    def sum(self, value: Tensor) -> Tensor:
        """The sum over the team."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def agree(self, choose: Callable[[], T]) -> T:
        """What the first process chose, in every process: two might read files differently."""
        if self.size == 1:
            return choose()
        chosen: list[Any] = [choose() if self.rank == 0 else None]
        # Pickled, but between processes of one program.
        dist.broadcast_object_list(chosen, src=0, group=self.patient)
        return chosen[0]  # type: ignore[no-any-return]

    def load(self, decode: Callable[[], Dataset]) -> Dataset:
        """The dataset that the first process decodes into main memory, in every process."""
        if self.size == 1:
            return decode()
        dataset = decode() if self.rank == 0 else None
        return _received(self, dataset)


ALONE = ProcessGroup()


@contextmanager
def gathered_team(environ: Mapping[str, str] = os.environ) -> Iterator[ProcessGroup]:
    """The team that torchrun's variables describe; alone where it started nothing."""
    size = int(environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    backends = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backends)
    try:
        patient = dist.new_group(backend="gloo", timeout=PATIENCE)
        yield ProcessGroup(dist.get_rank(), size, int(environ.get("LOCAL_RANK", "0")), patient)
    finally:
        dist.destroy_process_group()


def _received(team: ProcessGroup, dataset: Dataset | None) -> Dataset:
    """The first process's dataset, which travels through main memory."""
    nothing = torch.empty(0)
    tensors = {} if dataset is None else {name: getattr(dataset, name) for name in TENSORS}
    bare, shapes = team.agree(
        lambda: (
            dataset and replace(dataset, **dict.fromkeys(TENSORS, nothing)),  # type: ignore[arg-type]
            {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()},
        )
    )
    assert bare is not None
    for name, (shape, dtype) in shapes.items():
        tensors.setdefault(name, torch.empty(shape, dtype=dtype))
        dist.broadcast(tensors[name].view(torch.uint8), src=0)  # gloo knows no int16
    whole: Dataset = replace(bare, **tensors)
    return whole
