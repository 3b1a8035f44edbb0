"""`clfd checkpoints show`: what a checkpoint says of itself, read by a person."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from checkpoint_files import save_checkpoint
from rich.console import Console

from classifier.model.checkpoint import Checkpoint, read_checkpoint
from storage.home.checkpoint_folder import CheckpointFolder
from trainer.checkpoints.show import describe, print_description

BEGAN = datetime(2026, 2, 1, tzinfo=UTC)
FACTS: dict[str, Any] = {
    "created_at": "2026-02-01T00:00:00Z",
    "labels_file": "yard.csv",
    "labels_digest": "d" * 64,
    "recording_digests": ["e" * 64] * 96,
    "train_files": 96,
    "val_files": 24,
    "skipped": 0,
    "split": "0.2 of groups by hash, seed 7",
    "seed": 7,
    "recipe": {"name": "default", "epochs": 120, "optimizer": "adamw", "learning_rate": 0.003},
    "versions": {"clfd": "0.1.0", "torch": "2.13.0"},
    "val_accuracy": 0.958,
    "val_macro_f1": 0.951,
    "ece": 0.031,
    "ece_before": 0.084,
    "history": [{"epoch": 1}] * 120,
    "probes": [{"name": "digital silence", "label": "rain", "confidence": 0.41}],
    "promotion": {"promoted": False, "reason": "a loss beyond the uncertainty"},
    "attribution": "Three Sounds by A. Recordist, CC BY 3.0",
    "parent": None,
}

MakeCheckpoint = Callable[..., Checkpoint]


@pytest.fixture
def checkpoint_folder(tmp_path: Path) -> CheckpointFolder:
    return CheckpointFolder(tmp_path)


@pytest.fixture(scope="module")
def like(checkpoint_file: Path) -> Checkpoint:
    return read_checkpoint(checkpoint_file)


@pytest.fixture(scope="module")
def checkpoint_with(like: Checkpoint) -> MakeCheckpoint:
    """`saying(**facts)`: a checkpoint that says this of its training."""

    def make(**facts: Any) -> Checkpoint:
        return replace(like, description=like.description.model_copy(update={"training": facts}))

    return make


@pytest.fixture
def publish(checkpoint_folder: CheckpointFolder, like: Checkpoint) -> MakeCheckpoint:
    """`publish(**facts)`: the same, as a file in the folder."""

    def make(**facts: Any) -> Checkpoint:
        now = BEGAN + timedelta(days=len(checkpoint_folder.names()))
        shape = like.description.network
        return read_checkpoint(
            save_checkpoint(checkpoint_folder.folder, like.build(), like.labels, shape, facts, now)
        )

    return make


def description(checkpoint_folder: CheckpointFolder, checkpoint: Checkpoint) -> str:
    stream = io.StringIO()
    print_description(checkpoint_folder, checkpoint, Console(file=stream, width=120))
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


def parent_of(checkpoint: Checkpoint) -> dict[str, str]:
    return {"name": checkpoint.name, "digest": checkpoint.digest}


@pytest.mark.parametrize(
    "line",
    [
        "labels  bell, dog, rain (3)",
        "clips   0.5 s at 8000 Hz",
        "accuracy           95.8%",
        "calibration error  0.031 (0.084 before temperature)",
        "temperature        1",
        "digital silence    rain 41.0%",
        "promotion          not promoted: a loss beyond the uncertainty",
        "labels file  yard.csv",
        f"its digest   {'d' * 64}",
        "recordings   96 learned from, 24 held out",
        "split        0.2 of groups by hash, seed 7",
        "seed         7",
        "recipe       default, 120 epochs, adamw at 0.003",
        "versions     clfd 0.1.0, torch 2.13.0",
        "attribution  Three Sounds by A. Recordist, CC BY 3.0",
        "none  it began with random weights",
    ],
)
def test_a_checkpoint_shows_how_good_it_is_and_where_it_comes_from(
    checkpoint_folder: CheckpointFolder, checkpoint_with: MakeCheckpoint, line: str
) -> None:
    assert f"  {line}\n" in description(checkpoint_folder, checkpoint_with(**FACTS))


def test_it_fits_a_screen(
    checkpoint_folder: CheckpointFolder, checkpoint_with: MakeCheckpoint
) -> None:
    assert len(description(checkpoint_folder, checkpoint_with(**FACTS)).splitlines()) < 40


def test_the_first_line_says_whether_it_is_served(
    checkpoint_folder: CheckpointFolder, publish: MakeCheckpoint
) -> None:
    checkpoint = publish()
    checkpoint_folder.activate(checkpoint.name)
    assert description(checkpoint_folder, checkpoint).startswith(f"{checkpoint.name} (active)\n")


def test_json_has_everything(
    checkpoint_folder: CheckpointFolder, checkpoint_with: MakeCheckpoint
) -> None:
    facts = describe(checkpoint_folder, checkpoint_with(**FACTS))
    assert facts["training"] == FACTS
    assert (facts["state"], facts["lineage"]) == (None, [])


def test_parents_are_followed_as_far_as_their_files_are_there(
    checkpoint_folder: CheckpointFolder, publish: MakeCheckpoint
) -> None:
    grandparent = publish(parent={"name": "20250101T000000Z-0badcafe", "digest": "0badcafe" * 8})
    parent = publish(parent=parent_of(grandparent))
    child = publish(parent=parent_of(parent))
    line = describe(checkpoint_folder, child)["lineage"]
    assert [ancestor["name"] for ancestor in line] == [
        *(parent.name, grandparent.name, "20250101T000000Z-0badcafe")
    ]
    assert [ancestor["on_shelf"] for ancestor in line] == [True, True, False]
    assert f"{parent.name}  {parent.digest}\n" in description(checkpoint_folder, child)
    assert "(its file is not here)" in description(checkpoint_folder, child)


def test_another_file_under_the_parents_name_is_not_the_parent(
    checkpoint_folder: CheckpointFolder, publish: MakeCheckpoint
) -> None:
    parent = publish()
    forged = parent.digest[:8] + "0" * 56
    line = describe(checkpoint_folder, publish(parent={"name": parent.name, "digest": forged}))[
        "lineage"
    ]
    assert [ancestor["on_shelf"] for ancestor in line] == [False]


@pytest.mark.parametrize("value", [None, 10**400, -1.5, True, "text", [], ["text"], {"name": []}])
def test_a_file_may_say_anything_and_is_still_shown(
    checkpoint_folder: CheckpointFolder, checkpoint_with: MakeCheckpoint, value: object
) -> None:
    for field in FACTS:
        assert "bell, dog, rain" in description(
            checkpoint_folder, checkpoint_with(**{**FACTS, field: value})
        )


def test_text_of_a_file_never_reaches_the_terminal_as_a_command(
    checkpoint_folder: CheckpointFolder, checkpoint_with: MakeCheckpoint
) -> None:
    text = description(
        checkpoint_folder, checkpoint_with(attribution="\x1b]0;owned\x07", labels_file="a\nb")
    )
    assert "\x1b" not in text
    assert "\\x1b]0;owned" in text
