"""Trainings side by side: `clfd compare A B --training`."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from checkpoint_files import forge_checkpoint
from click.testing import CliRunner, Result

from classifier.model.checkpoint import read_checkpoint
from storage.commands.context import Invocation
from storage.home.paths import Home
from trainer.checkpoints.summary import summary_of
from trainer.commands.compare import compare

A, B = "20260101T000000Z-00000001", "20260202T000000Z-00000002"
OF_A = {
    "labels_file": "yard.csv",
    "train_files": 40,
    "epochs": 20,
    "val_accuracy": 0.9,
    "recipe": {
        "name": "default",
        "epochs": 20,
        "learning_rate": 0.005,
        "augmentation": {"gain": 6},
    },
}
OF_B = OF_A | {
    "train_files": 80,
    "recipe": {"name": "reference", "epochs": 20, "learning_rate": 0.001, "augmentation": {}},
}


@pytest.fixture
def home(tmp_path: Path, checkpoint_file: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    for name, facts in ((A, OF_A), (B, OF_B)):
        path = home.checkpoints / f"{name}.safetensors"
        forge_checkpoint(checkpoint_file, path, training=facts)
    return home


@pytest.fixture
def ask(home: Home) -> Callable[..., Result]:
    return lambda *words: CliRunner().invoke(
        compare, [*words, "--training"], obj=Invocation(home.root)
    )


def test_trainings_stand_side_by_side_without_a_ledger(ask: Callable[..., Result]) -> None:
    lines = [line.split() for line in ask(A, B).stdout.splitlines()]
    assert ["≠", "train_files", "40", "80"] in lines
    assert ["epochs", "20", "20"] in lines
    assert ["≠", "recipe", "default", "reference"] in lines
    assert ["≠", "recipe.learning_rate", "0.005", "0.001"] in lines
    assert ["≠", "recipe.augmentation.gain", "6"] in lines
    assert "val_loss" not in ask(A, B).stdout  # nobody measured it


def test_programs_get_both_and_what_differs(ask: Callable[..., Result]) -> None:
    found = json.loads(ask(A, B, "--json").stdout)
    assert (found["a"]["train_files"], found["b"]["train_files"]) == (40, 80)
    assert {"train_files", "recipe.learning_rate"} <= {*found["different"]}
    assert "epochs" not in found["different"]
    rows = list(csv.DictReader(ask(A, B, "--format", "csv").stdout.splitlines()))
    assert {"fact": "train_files", "a": "40", "b": "80"} in rows


def test_a_file_that_is_in_no_home_may_be_compared(
    ask: Callable[..., Result], tmp_path: Path, checkpoint_file: Path
) -> None:
    elsewhere = shutil.copyfile(checkpoint_file, tmp_path / "sent.safetensors")
    assert json.loads(ask(A, str(elsewhere), "--json").stdout)["b"]["checkpoint"] == "sent"


def test_what_selects_answers_has_no_place_beside_it(ask: Callable[..., Result]) -> None:
    assert ask(A, B, "--list", "3").exit_code == 2


@pytest.mark.parametrize("odd", [7, "text", None, [1], {"name": {"a": 1}, "epochs": []}])
def test_odd_facts_of_a_file_from_anywhere_stop_nothing(
    tmp_path: Path, checkpoint_file: Path, odd: object
) -> None:
    names = ("recipe", "parent", "epochs", "labels_file", "val_accuracy")
    facts = dict.fromkeys(names, odd)
    path = forge_checkpoint(checkpoint_file, tmp_path / "odd.safetensors", training=facts)
    json.dumps(summary_of(read_checkpoint(path)))
