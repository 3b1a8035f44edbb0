"""Distributed training: several processes, started by torchrun, train one network together.

Every process trains on its shard of each batch and ends with the same weights. Those of one node
map the same clips. Only the main process (rank 0) reads labels, prints, writes and publishes.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from classifier.errors import ClassifierError
from storage.errors import StorageError
from trainer.distributed.rendezvous import WAIT_LIMIT, Attempt, join_attempt, open_attempt
from trainer.errors import ToldElsewhere, TrainerError

T = TypeVar("T")


@dataclass(frozen=True)
class ProcessGroup:
    """`rank` counts the `size` processes from 0; alone it is 0 of 1.

    `node` counts torchrun's nodes, and `local_rank` the processes of this one. `leaders` are the
    first processes of all nodes. `places` says where each rank runs.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    node: int = 0
    attempt: Attempt | None = None
    leaders: dist.ProcessGroup | None = None
    nodes: tuple[int, ...] = (0,)  # of each rank
    places: Mapping[int, str] = field(default_factory=dict)

    @property
    def is_main_process(self) -> bool:
        return self.rank == 0

    @property
    def is_restart(self) -> bool:
        """In the main process, whether torchrun started this training before."""
        return self.attempt is not None and self.attempt.is_restart

    @property
    def followers(self) -> list[int]:
        """The other ranks of this node."""
        return [rank for rank, node in enumerate(self.nodes) if node == self.node][1:]

    def device(self, chosen: torch.device) -> torch.device:
        """A GPU of its own for each process on this machine."""
        if self.size > 1 and chosen.type == "cuda":
            return torch.device("cuda", self.local_rank)
        return chosen

    def shard(self, batch: Tensor) -> Tensor:
        """This process's part of a batch (B,): every `size`-th clip."""
        return batch[self.rank :: self.size]

    def wrap(self, network: nn.Module, example: Callable[[], Tensor]) -> nn.Module:
        """The network, its gradients averaged over the group; `example` gives any input of it.

        torch lays gradients out anew after the first step, and sums of three and more depend on
        that. So a first one goes nowhere: a training that is resumed then sums as one that is not.
        """
        if self.size == 1:
            return network
        parallel, before = DistributedDataParallel(network), deepcopy(network.state_dict())
        parallel(example()).sum().backward()
        network.zero_grad()
        network.load_state_dict(before)
        return parallel

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def over_batches(
        self, compute: Callable[[Tensor], Tensor], batches: Sequence[Tensor]
    ) -> Tensor:
        """Rows (N, ...) that `compute` gives for at least one batch, each (B,) in one process.

        A batch is never parted, so that the rows are those of a process alone.
        """
        if self.size == 1:
            return torch.cat([compute(batch) for batch in batches])
        own = {at: compute(batches[at]) for at in range(self.rank, len(batches), self.size)}
        some = own.get(self.rank)
        some = compute(batches[0]) if some is None else some
        rows = [
            own.get(at, some.new_zeros(len(batch), *some.shape[1:]))
            for at, batch in enumerate(batches)
        ]
        return self.sum(torch.cat(rows))

    def in_each(self, start: Callable[[], T]) -> T:
        """What `start` gives in each process. Raises what it raises, in all of them."""
        if self.size == 1:
            return start()
        value, error = _attempt(start)
        failures: list[Failure | None] = [None] * self.size
        dist.all_gather_object(failures, _failure(error))
        for rank, failure in enumerate(failures):
            if failure is not None:
                where = f"rank {rank} of {self.size} ({self.places[rank]})"
                self._raise(replace(failure, sentence=f"{where}: {failure.sentence}"))
        return cast(T, value)

    def broadcast(self, choose: Callable[[], T], slow: str = "") -> T:
        """What the main process chooses, in every process; what it raises, in all of them.

        Where that may take longer than WAIT_LIMIT, `slow` names what the others wait for.
        """
        if self.attempt is None:
            return choose()
        chosen: list[Any] = [None, None]
        error: Exception | None = None
        if self.is_main_process:
            value, error = _attempt(choose)
            chosen = [value, _failure(error)]
            if slow:
                self.attempt.keys.set(slow, "there")
        elif slow:
            self.attempt.wait_for(slow)
        # Pickled, but between processes of one program.
        dist.broadcast_object_list(chosen, src=0)
        if error is not None:
            raise error
        value, failure = chosen
        if failure is not None:
            self._raise(failure)
        return cast(T, value)

    def _raise(self, failure: Failure) -> None:
        """The error of another process; on each node the first process tells it."""
        error = (TrainerError if self.local_rank == 0 else ToldElsewhere)(failure.sentence)
        error.exit_code = failure.exit_code
        raise error


@dataclass(frozen=True)
class Failure:
    """An error as the other processes get it."""

    sentence: str
    exit_code: int


def _attempt(do: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return do(), None
    except Exception as error:
        return None, error


def _failure(error: Exception | None) -> Failure | None:
    if error is None:
        return None
    return Failure(sentence_of(error), getattr(error, "exit_code", 1))


def sentence_of(error: Exception) -> str:
    if isinstance(error, TrainerError | ClassifierError | StorageError):
        return str(error)
    return f"unexpected {type(error).__name__}: {error}"


SINGLE_PROCESS = ProcessGroup()


@contextmanager
def open_process_group(environ: Mapping[str, str] = os.environ) -> Iterator[ProcessGroup]:
    """The group that torchrun's variables describe; SINGLE_PROCESS without them.

    Raises TrainerError where not all of its processes start.
    """
    size = int(environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield SINGLE_PROCESS
        return
    rank, local_rank = int(environ["RANK"]), int(environ.get("LOCAL_RANK", "0"))
    # Who was started by something else shares no memory.
    node = int(environ.get("GROUP_RANK", rank))
    store, _, _ = next(rendezvous("env://", rank, size, timeout=WAIT_LIMIT))
    attempt = join_attempt(store, rank) if rank else open_attempt(store, size)
    backends = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    inner = PrefixStore("collectives", attempt.keys)
    dist.init_process_group(backends, store=inner, rank=rank, world_size=size, timeout=WAIT_LIMIT)
    try:
        found: list[Any] = [None] * size
        here = f"process {os.getpid()} on {socket.gethostname()}"
        dist.all_gather_object(found, (node, here))
        nodes = tuple(each for each, _ in found)
        leaders = [nodes.index(each) for each in sorted(set(nodes))]
        yield ProcessGroup(
            *(rank, size, local_rank, node, attempt),
            leaders=dist.new_group(leaders, timeout=WAIT_LIMIT, backend="gloo"),
            nodes=nodes,
            places={each: place for each, (_, place) in enumerate(found)},
        )
    finally:
        dist.destroy_process_group()
