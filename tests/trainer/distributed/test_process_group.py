"""Several processes that train together, as torchrun starts them: two nodes, over gloo."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor
from training_nodes import OPTIONS, SMALL, TrainingNodes, outcome_of

from clfd import cli
from trainer.demo.synthesis import make_set
from trainer.distributed.process_group import SINGLE_PROCESS, ProcessGroup, open_process_group


class Alone(ProcessGroup):
    """Whose sums are its own summand."""

    def sum(self, value: Tensor) -> Tensor:
        return value


@pytest.mark.cluster
def test_two_nodes_train_the_network_that_one_process_does(tmp_path: Path) -> None:
    make_set(tmp_path, ("dog_bark", "siren"), 16, seed=0)
    nodes = TrainingNodes(tmp_path / "nodes", [tmp_path / "labels.csv", tmp_path / "nowhere.csv"])
    assert nodes.train() == [0, 0], nodes.printed()
    words = ["--home", str(tmp_path / "alone"), "train", str(tmp_path / "labels.csv"), *OPTIONS]
    alone = CliRunner().invoke(cli, words, env=SMALL)
    assert alone.exit_code == 0, alone.stderr
    both, one = nodes.outcome(), outcome_of(alone.stdout)
    assert both["val_accuracy"] >= one["val_accuracy"] - 0.1
    assert both["history"][0]["train_loss"] == pytest.approx(
        one["history"][0]["train_loss"], abs=0.3
    )
    assert both["promoted"]
    assert len(list((nodes.home() / "checkpoints").glob("*.safetensors"))) == 1
    assert not any((nodes.home() / "runs").iterdir())
    assert not nodes.home(1).exists()


@pytest.mark.parametrize("n_batches", [1, 2, 5])
def test_batches_are_parted_among_processes_and_come_out_as_of_one(n_batches: int) -> None:
    batches = torch.split(torch.arange(1.0, 1 + 3 * n_batches), 3)

    def compute(batch: Tensor) -> Tensor:
        return torch.stack([batch, batch.square()], dim=1)

    parts = [Alone(rank, 3).over_batches(compute, batches) for rank in range(3)]
    assert torch.equal(torch.stack(parts).sum(0), SINGLE_PROCESS.over_batches(compute, batches))
    assert all(int((part[:, 0] > 0).sum()) <= 3 * -(-n_batches // 3) for part in parts)


def test_shares_of_a_batch_are_disjoint_and_complete() -> None:
    batch = torch.arange(7)
    shares = [ProcessGroup(rank, 3).shard(batch) for rank in range(3)]
    assert sorted(torch.cat(shares).tolist()) == batch.tolist()


def test_each_process_has_a_gpu_of_its_own() -> None:
    assert ProcessGroup(3, 4, local_rank=1).device(torch.device("cuda")) == torch.device("cuda:1")
    assert ProcessGroup(3, 4, local_rank=1).device(torch.device("cpu")) == torch.device("cpu")
    assert SINGLE_PROCESS.device(torch.device("cuda:2")) == torch.device("cuda:2")


def test_without_torchrun_a_process_is_alone() -> None:
    with open_process_group({}) as process_group:
        assert process_group is SINGLE_PROCESS
