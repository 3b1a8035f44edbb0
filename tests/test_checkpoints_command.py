"""`clfd checkpoints`: what is on the shelf, and what is served."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from classifier.checkpoint import read_checkpoint
from classifier.errors import CheckpointError
from storage.errors import StorageError
from storage.home import Home
from storage.invocation import Invocation
from storage.shelf import Shelf
from trainer.commands import checkpoints

Run = Callable[..., Result]

NEWER = "20260202T000000Z-00000000"
BROKEN = "20260303T000000Z-11111111"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


@pytest.fixture
def run(home: Home) -> Run:
    """`run(*words)`: `clfd checkpoints` with these words."""
    return lambda *words: CliRunner().invoke(
        checkpoints, words, obj=Invocation(home_option=home.root)
    )


@pytest.fixture
def shelf(home: Home, checkpoint_file: Path) -> Shelf:
    """Three checkpoints; the newest is broken, the oldest active."""
    shelf = Shelf(home.checkpoints)
    shutil.copy(checkpoint_file, home.checkpoints)
    shutil.copy(checkpoint_file, shelf.path(NEWER))
    shelf.path(BROKEN).write_bytes(b"no weights")
    shelf.activate(checkpoint_file.stem)
    return shelf


@pytest.mark.usefixtures("shelf")
def test_the_list_begins_with_the_newest_and_marks_what_is_active(
    run: Run, checkpoint_file: Path
) -> None:
    result = run("list")
    _, broken, newer, oldest = result.stdout.splitlines()
    assert broken.split()[:2] == [BROKEN, "refused"]
    assert newer.split()[:2] == [NEWER, "3"]
    assert oldest.split()[:3] == [checkpoint_file.stem, "active", "3"]
    assert f"checkpoint {BROKEN}.safetensors refused" in result.stderr


def test_an_empty_shelf_says_what_fills_it(run: Run) -> None:
    result = run("list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "`clfd train` makes one" in result.stderr


def test_show_tells_everything_but_the_weights(
    run: Run, shelf: Shelf, checkpoint_file: Path
) -> None:
    facts = json.loads(run("show", "active", "--json").stdout)
    assert facts["digest"] == read_checkpoint(shelf.path(checkpoint_file.stem)).digest
    assert facts["labels"] == ["bell", "dog", "rain"]
    assert facts["audio_format"]["sample_rate_hz"] == 8000
    assert facts["training"] == {"epochs": 0}


@pytest.mark.usefixtures("shelf")
def test_show_reads_well_too(run: Run) -> None:
    lines = dict(line.split(maxsplit=1) for line in run("show", "active").stdout.splitlines())
    assert lines["labels"].strip() == "bell, dog, rain"
    assert lines["training.epochs"].strip() == "0"


def test_activate_changes_what_is_served_and_rollback_undoes_it(
    run: Run, shelf: Shelf, checkpoint_file: Path
) -> None:
    result = run("activate", NEWER[:8])
    assert f"{NEWER} is active now" in result.stderr
    assert (shelf.active(), shelf.previous()) == (NEWER, checkpoint_file.stem)
    run("rollback")
    assert (shelf.active(), shelf.previous()) == (checkpoint_file.stem, NEWER)


def test_a_broken_checkpoint_is_never_activated(
    run: Run, shelf: Shelf, checkpoint_file: Path
) -> None:
    result = run("activate", BROKEN)
    assert isinstance(result.exception, CheckpointError)
    assert shelf.active() == checkpoint_file.stem


@pytest.mark.parametrize("words", [("rollback",), ("show", "nonsense"), ("activate", "previous")])
@pytest.mark.usefixtures("shelf")
def test_what_is_not_there_is_said(run: Run, words: tuple[str, ...]) -> None:
    assert isinstance(run(*words).exception, StorageError)
