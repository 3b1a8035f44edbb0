"""Checkpoints and trainings in a browser: by keys, and what is dangerous is asked first."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ledger_rows import week_of_answers
from page_browser import opened, served, wait_until

from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.paths import Home
from storage.trainings.training_folder import new_training
from storage.trainings.training_progress import EpochProgress, ProgressFile, TrainingProgress

pytestmark = pytest.mark.browser

OLD, NEW = "20260130T120000Z-00000001", "20260131T120000Z-00000002"


@pytest.fixture
def home(tmp_path: Path, checkpoint_file: Path, second_checkpoint: Path) -> Iterator[Home]:
    """Two checkpoints, the old one active."""
    home = Home(tmp_path / "home")
    home.create()
    folder = CheckpointFolder(home.checkpoints)
    shutil.copyfile(checkpoint_file, folder.path(OLD))
    shutil.copyfile(second_checkpoint, folder.path(NEW))
    folder.activate(OLD)
    with week_of_answers(home.root):
        yield home


@pytest.fixture
def page(chromium: Any, home: Home) -> Iterator[Any]:
    with served(home) as link:
        page = opened(chromium, link)
        page.goto(f"{link.split('/in')[0]}/checkpoints")
        page.get_by_role("cell", name=NEW).wait_for()
        yield page
        page.context.close()
        assert not page.faults


def test_a_checkpoint_is_activated_and_rolled_back_by_keys(page: Any, home: Home) -> None:
    folder = CheckpointFolder(home.checkpoints)
    page.keyboard.press("a")
    page.get_by_role("heading", name="Activate this checkpoint?").wait_for()
    page.keyboard.press("b")  # the dialog is open: no key of the view counts
    page.keyboard.press("Enter")  # the first button says no
    page.locator("dialog").wait_for(state="detached")
    assert folder.active() == OLD
    page.keyboard.press("a")
    page.get_by_role("button", name="Activate", exact=True).click()
    wait_until(lambda: folder.active() == NEW)
    page.get_by_text("is active now").wait_for()
    page.locator("tr", has_text=OLD).get_by_text("previous").wait_for()
    page.keyboard.press("b")
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    wait_until(lambda: folder.active() == OLD)


def test_two_are_compared_and_the_address_keeps_it(page: Any) -> None:
    page.keyboard.press("c")
    page.get_by_role("heading", name="A is active, B is chosen").wait_for()
    page.reload()
    page.get_by_role("heading", name="A is active, B is chosen").wait_for()


def test_the_curve_of_a_training_is_drawn_while_it_runs(page: Any, home: Home) -> None:
    training = new_training(home)
    lock = training.lock()
    assert lock is not None
    began = TrainingProgress(began_at="2026-01-31T12:00:00.000Z", pid=1, host="here", epochs=3)
    progress = ProgressFile(training.progress_file, began, print)
    for epoch in (1, 2):
        progress.add_epoch(
            EpochProgress(epoch=epoch, train_loss=1 / epoch, val_loss=0.7, val_accuracy=0.5)
        )
    progress.update(stage="published")
    said = "After epoch 2: loss 0.500, validation loss 0.700, accuracy 50.0 %"
    page.get_by_role("img", name=said).wait_for()
    page.get_by_text("published, epoch 2 of 3").wait_for()
    assert page.get_by_role("button", name="Train").is_disabled()
    os.close(lock)
    page.get_by_text("it was killed").wait_for()
    assert page.get_by_role("button", name="Train").is_enabled()


def test_without_labels_the_dialog_says_that_there_is_nothing_to_learn(page: Any) -> None:
    page.keyboard.press("n")
    page.get_by_role("button", name="Train", exact=True).last.click()
    page.get_by_text("there is no label to train from").wait_for()
