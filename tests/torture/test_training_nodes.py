"""Trainings over two nodes, whose processes are killed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from training_nodes import TrainingNodes

from trainer.demo.synthesis import make_set

LONG = ("--epochs", "100")

Make = Callable[..., TrainingNodes]


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    make_set(folder, ("dog_bark", "siren"), 16, seed=0)
    return folder / "labels.csv"


@pytest.fixture
def make_nodes(labels: Path, tmp_path: Path) -> Iterator[Make]:
    """`make_nodes("name")`: two nodes, of which the first has the labels."""
    made: list[TrainingNodes] = []

    def make(name: str, **options: object) -> TrainingNodes:
        nodes = TrainingNodes(tmp_path / name, [labels, tmp_path / "nowhere.csv"], **options)  # type: ignore[arg-type]
        made.append(nodes)
        return nodes

    yield make
    for nodes in made:
        for torchrun in nodes.torchruns:
            torchrun.terminate()
            torchrun.wait()


def kill_once_saved(nodes: TrainingNodes, rank: int) -> None:
    while not any((nodes.home() / "runs").glob("*/*.safetensors")):
        assert nodes.torchruns[0].poll() is None, nodes.printed()
        time.sleep(0.05)
    nodes.kill(rank)


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_a_killed_rank_is_named_and_resume_ends_with_the_same_weights(
    make_nodes: Make, rank: int
) -> None:
    whole, broken = make_nodes("whole", per_node=2), make_nodes("broken", per_node=2)
    assert whole.train(*LONG) == [0, 0], whole.printed()
    broken.start(*LONG)
    kill_once_saved(broken, rank)
    assert broken.wait() == [1, 1]
    for node in (0, 1):
        [sentence] = broken.told(node)
        assert sentence.startswith(f"clfd: lost rank {rank} (process ")
        assert "repeat the command with --resume" in sentence
    assert broken.train(*LONG, "--resume") == [0, 0], broken.printed()
    assert "epoch   1/100" not in broken.printed()
    assert broken.weights() == whole.weights()


@pytest.mark.parametrize("rank", [0, 1])
def test_torchrun_restarts_a_training_where_it_was(make_nodes: Make, rank: int) -> None:
    whole, broken = make_nodes("whole"), make_nodes("broken", max_restarts=2)
    assert whole.train(*LONG) == [0, 0], whole.printed()
    broken.start(*LONG)
    kill_once_saved(broken, rank)
    assert broken.wait() == [0, 0], broken.printed()
    assert broken.printed().count("epoch   1/100") == 1
    assert broken.weights() == whole.weights()


def test_labels_that_the_first_node_cannot_read_end_all_with_one_sentence(
    make_nodes: Make, labels: Path
) -> None:
    nodes = make_nodes("nodes", per_node=2)
    nodes.labels = [labels.with_name("missing.csv"), labels]
    assert nodes.train() == [1, 1]
    for node in (0, 1):
        lines = nodes.printed(node).splitlines()
        [sentence] = [line for line in lines if line.startswith("clfd: ")]
        assert "missing.csv: it cannot be read (No such file or directory)" in sentence


def test_clips_beyond_the_limit_are_read_from_one_file_on_each_node(make_nodes: Make) -> None:
    usual = make_nodes("usual", per_node=2)
    little = make_nodes("little", per_node=2, environ={"CLFD_TRAINING__MEMORY_GIB": "0.00001"})
    assert usual.train() == [0, 0], usual.printed()
    assert little.train() == [0, 0], little.printed()
    assert "they are read from a file" in little.printed()
    assert little.weights() == usual.weights()
