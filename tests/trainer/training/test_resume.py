"""What a training run has reached outlives it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from storage.errors import StorageError
from storage.home.safe_open import read_plain
from trainer.errors import TrainerError
from trainer.training import resume as module
from trainer.training.resume import NO_RESUME, RunStage, SavedState, open_run_state

RUN = {"labels": "abc", "seed": 0}


def saved(number: float = 1.0) -> SavedState:
    return SavedState({"weights": torch.tensor([number])}, {"history": [number]})


class Stopped(Exception):
    """Stands for whatever ends a run half way."""


def interrupted_run(runs: Path) -> None:
    with pytest.raises(Stopped), open_run_state(runs, RUN, resume=False) as run_state:
        run_state.stage("final").save(saved())
        raise Stopped


def test_what_was_saved_is_there_again(tmp_path: Path) -> None:
    stage = RunStage(tmp_path / "fold-1.safetensors")
    stage.save(saved())
    again = stage.load()
    assert again is not None
    assert again.facts == {"history": [1.0]}
    assert torch.equal(again.tensors["weights"], torch.tensor([1.0]))


def test_a_run_that_was_stopped_can_be_resumed(tmp_path: Path) -> None:
    interrupted_run(tmp_path)
    with open_run_state(tmp_path, RUN, resume=True) as run_state:
        assert run_state.has_begun()
        assert run_state.stage("final").load() is not None


def test_without_resume_it_begins_anew(tmp_path: Path) -> None:
    interrupted_run(tmp_path)
    with open_run_state(tmp_path, RUN, resume=False) as run_state:
        assert not run_state.has_begun()


def test_another_recipe_is_another_run(tmp_path: Path) -> None:
    interrupted_run(tmp_path)
    with open_run_state(tmp_path, {**RUN, "seed": 1}, resume=True) as run_state:
        assert not run_state.has_begun()


def test_a_run_that_went_well_leaves_nothing(tmp_path: Path) -> None:
    with open_run_state(tmp_path, RUN, resume=False) as run_state:
        run_state.stage("final").save(saved())
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_cannot_be_written_is_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk_full(*_: object) -> None:
        raise StorageError("cannot write it")

    monkeypatch.setattr("trainer.training.resume.write_whole", disk_full)
    message: list[str] = []
    stage = RunStage(tmp_path / "final.safetensors", message.append)
    stage.save(saved())
    assert message == ["training goes on, but could not be resumed from here: cannot write it"]
    assert not stage.is_due(is_last=True)


def test_the_group_may_go_on_with_a_run(tmp_path: Path) -> None:
    with open_run_state(tmp_path, RUN, resume=False) as run_state:
        assert run_state.folder.stat().st_mode & 0o7777 == 0o2770


def test_the_same_run_twice_at_a_time_is_refused(tmp_path: Path) -> None:
    with (
        open_run_state(tmp_path, RUN, resume=False),
        pytest.raises(TrainerError, match="same training is under way in another process"),
        open_run_state(tmp_path, RUN, resume=False),
    ):
        pass


@pytest.mark.parametrize("damage", [b"", b"half a file", b"\xff" * 100])
def test_a_damaged_file_counts_as_not_begun(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "final.safetensors"
    path.write_bytes(damage)
    assert RunStage(path).load() is None


def test_what_nobody_resumed_for_a_month_is_forgotten(tmp_path: Path) -> None:
    interrupted_run(tmp_path)
    [old] = tmp_path.iterdir()
    long_ago = old.stat().st_mtime - module.STALE_SECONDS - 60
    os.utime(old, (long_ago, long_ago))
    with open_run_state(tmp_path, {**RUN, "seed": 1}, resume=False):
        assert not old.exists()


def test_quick_epochs_are_not_all_written(tmp_path: Path) -> None:
    stage = RunStage(tmp_path / "final.safetensors")
    assert not stage.is_due(is_last=False)
    assert stage.is_due(is_last=True)
    assert not NO_RESUME.is_due(is_last=True)


def test_a_state_larger_than_any_network_has_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "fold-1.safetensors"
    file.touch()
    os.truncate(file, 50 * 2**30)
    with pytest.raises(OSError, match="it has more than"):
        read_plain(file, module.MAX_STATE_BYTES)
    assert RunStage(file).load() is None
