"""The trainings of a home: which run, which ran, and how far they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from storage.errors import StorageError
from storage.home.paths import Home
from storage.trainings.training_folder import (
    KEPT,
    TrainingFolder,
    all_trainings,
    find_training,
    new_training,
)
from storage.trainings.training_progress import EpochProgress, ProgressFile, TrainingProgress

BEGAN = TrainingProgress(began_at="2026-01-31T12:00:00.000Z", pid=7, host="here", labels="l.csv")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def training(home: Home) -> TrainingFolder:
    return new_training(home)


def begin(training: TrainingFolder) -> ProgressFile:
    return ProgressFile(training.progress_file, BEGAN, print)


def test_a_training_runs_as_long_as_its_folder_is_locked(training: TrainingFolder) -> None:
    lock = training.lock()
    assert lock is not None
    begin(training)
    assert (training.is_running(), training.progress().state) == (True, "running")
    os.close(lock)
    assert (training.is_running(), training.progress().state) == (False, "stopped")


def test_its_epochs_are_read_as_they_were_written(training: TrainingFolder) -> None:
    progress = begin(training)
    progress.update(stage="published", epochs=2)
    for epoch in (1, 2):
        progress.add_epoch(EpochProgress(epoch=epoch, train_loss=1 / epoch))
    progress.update(state="done")
    found = training.progress()
    assert (found.state, found.stage, found.epochs) == ("done", "published", 2)
    assert [one.train_loss for one in found.curve] == [1, 0.5]


def test_a_loss_that_is_no_number_is_none(training: TrainingFolder) -> None:
    progress = begin(training)
    progress.add_epoch(EpochProgress(epoch=1, train_loss=float("nan")))
    progress.update(state="done")
    assert training.progress().curve[0].train_loss is None


def test_one_that_ended_before_it_began_says_its_last_line(training: TrainingFolder) -> None:
    training.log_file.write_text("first\nclfd: no such device\n")
    found = training.progress()
    assert (found.state, found.error) == ("failed", "clfd: no such device")


def test_where_it_cannot_be_written_one_line_says_so(home: Home) -> None:
    lines: list[str] = []
    progress = ProgressFile(home.root / "missing" / "progress.json", BEGAN, lines.append)
    progress.update(state="done")
    assert len(lines) == 1


def test_the_log_is_read_from_its_end(training: TrainingFolder) -> None:
    training.log_file.write_bytes(b"a" * 1000 + b"end")
    assert training.log_tail(5) == "aaend"


def test_a_link_in_place_of_the_log_is_not_followed(
    training: TrainingFolder, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    training.log_file.symlink_to(secret)
    assert training.log_tail(100) == ""


def test_the_oldest_goes_but_never_one_that_runs(home: Home) -> None:
    for number in range(KEPT + 1):
        (home.trainings / f"20260131T120000Z-{number:08x}").mkdir(parents=True)
    running = TrainingFolder(home.trainings / "20260131T120000Z-00000000")
    lock = running.lock()
    assert lock is not None
    made = new_training(home)
    names = [one.id for one in all_trainings(home)]
    os.close(lock)
    assert (names[0], names[-1], len(names)) == (made.id, running.id, KEPT + 1)


@pytest.mark.parametrize("id", ["", "..", "20260131T120000Z-00000000", "a\0b", "x" * 9999])
def test_another_name_is_no_training(home: Home, id: str) -> None:
    with pytest.raises(StorageError, match="no training"):
        find_training(home, id)
