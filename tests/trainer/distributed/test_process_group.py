"""Several processes that train together, as torchrun starts them: two on the CPU, over gloo."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result

from clfd import cli
from trainer.demo.synthesis import make_set
from trainer.distributed.process_group import SINGLE_PROCESS, ProcessGroup, open_process_group

OPTIONS = (
    *("--epochs", "8", "--width", "4", "--mels", "32", "--clip-seconds", "1"),
    *("--lr", "0.01", "--batch-size", "16", "--device", "cpu", "--json"),
)
SMALL = {"CLFD_ENGINE__DECODE_WORKERS": "1"}


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    make_set(folder, ("dog_bark", "siren"), 16, seed=0)
    return folder / "labels.csv"


def train_as_pair(
    labels: Path, home: Path, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    words = ["clfd", "--home", str(home), "train", str(labels), *OPTIONS]
    return subprocess.run(
        [*torchrun, "--nproc-per-node", "2", "-m", *words],
        capture_output=True,
        text=True,
        env={**os.environ, **SMALL, **(environ or {})},
    )


def train_alone(labels: Path, home: Path) -> Result:
    words = ["--home", str(home), "train", str(labels), *OPTIONS]
    return CliRunner().invoke(cli, words, env=SMALL)


def outcome_of(printed: str) -> dict[str, Any]:
    [line] = [line for line in printed.splitlines() if line.startswith("{")]
    outcome: dict[str, Any] = json.loads(line)
    return outcome


def test_two_processes_train_the_network_that_one_does(sounds: Path, tmp_path: Path) -> None:
    pair = train_as_pair(sounds, tmp_path / "pair")
    assert pair.returncode == 0, pair.stderr
    alone = train_alone(sounds, tmp_path / "alone")
    assert alone.exit_code == 0, alone.stderr
    both, one = outcome_of(pair.stdout), outcome_of(alone.stdout)
    assert both["val_accuracy"] >= one["val_accuracy"] - 0.1
    assert both["history"][0]["train_loss"] == pytest.approx(
        one["history"][0]["train_loss"], abs=0.3
    )
    assert both["promoted"]
    assert len(list((tmp_path / "pair" / "checkpoints").glob("*.safetensors"))) == 1
    assert not any((tmp_path / "pair" / "runs").iterdir())


@pytest.mark.torture
def test_clips_that_not_all_processes_can_hold_are_refused(sounds: Path, tmp_path: Path) -> None:
    little = {"CLFD_TRAINING__MEMORY_GIB": "0.00001"}
    pair = train_as_pair(sounds, tmp_path / "pair", little)
    assert pair.returncode != 0
    assert "the clips do not fit into memory 2 times; raise training.memory_gib" in pair.stderr


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
