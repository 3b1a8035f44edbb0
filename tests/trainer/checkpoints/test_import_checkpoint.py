"""Under which name a checkpoint from elsewhere is kept in the checkpoint folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from checkpoint_files import save_checkpoint

from classifier.errors import CheckpointError
from classifier.model.checkpoint import Checkpoint, read_checkpoint
from storage.home.checkpoint_folder import CheckpointFolder
from trainer.checkpoints.import_checkpoint import import_checkpoint, right_name

NOW = datetime(2026, 6, 1, tzinfo=UTC)
Named = Callable[..., str]


@pytest.fixture(scope="module")
def like(checkpoint_file: Path) -> Checkpoint:
    return read_checkpoint(checkpoint_file)


@pytest.fixture(scope="module")
def named(like: Checkpoint) -> Named:
    """`named(stem, **facts)`: the name in the folder of a file with this name and these facts."""

    def make(stem: str, **facts: object) -> str:
        about = like.description.model_copy(update={"training": facts})
        return right_name(replace(like, name=stem, description=about), NOW)

    return make


def test_a_name_that_fits_the_content_is_kept(named: Named, like: Checkpoint) -> None:
    assert named(f"20200101T000000Z-{like.digest[:8]}") == f"20200101T000000Z-{like.digest[:8]}"


def test_else_it_is_named_after_the_time_when_it_was_made(named: Named, like: Checkpoint) -> None:
    assert named("mine", created_at="2026-02-03T04:05:06+01:00") == (
        f"20260203T030506Z-{like.digest[:8]}"
    )


@pytest.mark.parametrize(
    "created_at",
    [None, "soon", 7, "2026-02-03T04:05:06", "0001-01-01T00:00:00Z", "9999-01-01T00:00:00Z"],
)
def test_without_a_time_of_use_it_counts_as_made_now(
    named: Named, like: Checkpoint, created_at: object
) -> None:
    assert named("mine", created_at=created_at) == f"20260601T000000Z-{like.digest[:8]}"


def test_a_network_that_forgot_its_canary_is_not_imported(like: Checkpoint, tmp_path: Path) -> None:
    model, shape = like.build(), like.description.network
    path = save_checkpoint(tmp_path, model, like.labels, shape, {}, NOW)
    data = path.read_bytes()
    at = data.rindex(model.network.head[-1].weight.detach().numpy().tobytes())
    path.write_bytes(data[:at] + bytes(4 * 32 * 3) + data[at + 4 * 32 * 3 :])
    checkpoint_folder = CheckpointFolder(tmp_path / "checkpoints")
    checkpoint_folder.folder.mkdir()
    with pytest.raises(CheckpointError, match="does not repeat its canary"):
        import_checkpoint(checkpoint_folder, path, NOW)
    assert checkpoint_folder.names() == []


def test_a_checkpoint_with_rounded_weights_is_imported(like: Checkpoint, tmp_path: Path) -> None:
    path = save_checkpoint(
        tmp_path, like.build(), like.labels, like.description.network, {}, NOW, torch.bfloat16
    )
    checkpoint_folder = CheckpointFolder(tmp_path / "checkpoints")
    checkpoint_folder.folder.mkdir()
    assert import_checkpoint(checkpoint_folder, path, NOW).name == path.stem
