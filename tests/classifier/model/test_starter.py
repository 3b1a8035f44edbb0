"""The starter: what a first user's daemon answers with."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_files import save_checkpoint
from house import House, house_settings
from old_ledger import first_ledger

from classifier.inference.predictor import Predictor
from classifier.model import starter as starter_module
from classifier.model.checkpoint import Checkpoint, parse_checkpoint, read_checkpoint
from classifier.model.starter import Starter, is_starter, packaged_starter, starter_name
from daemon.setup.init import initialise
from storage.errors import AlreadyRunning
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.daemon_lock import DaemonLock
from storage.home.paths import Home

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FACTS = {
    "starter": True,
    "mean_accuracy": 0.875,
    "attribution": "Three Sounds by A. Recordist, CC BY 3.0",
}
LARGEST_BYTES = 4_000_000


@pytest.fixture(scope="module")
def folder(checkpoint_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as it lies in the package, with a small starter in it."""
    folder = tmp_path_factory.mktemp("starter")
    checkpoint = read_checkpoint(checkpoint_file)
    save_checkpoint(
        folder,
        checkpoint.build(),
        checkpoint.labels,
        checkpoint.description.network,
        FACTS,
        NOW,
        weights_dtype=torch.bfloat16,
    )
    return folder


@pytest.fixture(scope="module")
def starter(folder: Path) -> Starter:
    found = packaged_starter(folder)
    assert found is not None
    return found


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def init(home: Home, starter: Starter) -> Callable[[], str]:
    """`init()`: what `clfd init` prints."""
    return lambda: "\n".join(initialise(home, house_settings(home), lambda: starter))


def test_a_package_without_a_starter_says_so(tmp_path: Path) -> None:
    assert packaged_starter(tmp_path / "none") is None
    assert starter_name(tmp_path) is None


def test_the_starter_has_the_name_of_its_file(folder: Path, starter: Starter) -> None:
    assert [starter.name] == [path.stem for path in folder.iterdir()] == [starter_name(folder)]


def test_the_starter_is_known_by_what_it_says_of_itself(
    starter: Starter, checkpoint_file: Path
) -> None:
    assert is_starter(parse_checkpoint(starter.name, starter.data))
    assert not is_starter(read_checkpoint(checkpoint_file))


def test_the_wheel_takes_the_starter_along() -> None:
    root = Path(starter_module.__file__).parents[2]
    setuptools = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert root / "classifier" / "model" / "starter" == starter_module.FOLDER
    assert "starter/*.safetensors" in setuptools["package-data"]["classifier.model"]


# `clfd init`


def test_a_fresh_home_serves_the_starter(
    init: Callable[[], str], home: Home, starter: Starter
) -> None:
    init()
    checkpoints = CheckpointFolder(home.checkpoints)
    assert checkpoints.active() == starter.name
    assert checkpoints.path(starter.name).read_bytes() == starter.data
    assert checkpoints.path(starter.name).stat().st_mode & 0o777 == 0o660


def test_a_first_user_is_told_what_the_starter_knows_and_whom_to_thank(
    init: Callable[[], str],
) -> None:
    output = init()
    assert "bell, dog, rain (3 labels)" in output
    assert "nothing else: any other sound is given one of these labels" in output
    assert "clfd train LABELS.csv" in output
    assert "87.5%" in output
    assert FACTS["attribution"] in output


def test_a_first_user_is_told_what_the_starter_says_of_other_sounds(
    checkpoint_file: Path, tmp_path: Path, home: Home
) -> None:
    checkpoint = read_checkpoint(checkpoint_file)
    saved = save_checkpoint(
        tmp_path,
        checkpoint.build(),
        ("bell", "none", "rain"),
        checkpoint.description.network,
        FACTS,
        NOW,
    )
    of_none = Starter(saved.stem, saved.read_bytes())
    output = "\n".join(initialise(home, house_settings(home), lambda: of_none))
    assert "bell, rain (2 labels)" in output
    assert "mostly says 'none' of any other sound" in output


def test_a_second_init_changes_nothing(
    init: Callable[[], str], home: Home, starter: Starter
) -> None:
    init()
    before = CheckpointFolder(home.checkpoints).path(starter.name).stat().st_mtime_ns
    output = init()
    assert f"checkpoint  {starter.name}\n" in output
    assert CheckpointFolder(home.checkpoints).path(starter.name).stat().st_mtime_ns == before


@pytest.mark.parametrize("link", ["active", "previous"])
def test_the_starter_never_comes_before_what_was_chosen(
    init: Callable[[], str], home: Home, checkpoint_file: Path, link: str
) -> None:
    home.create()
    shutil.copy(checkpoint_file, home.checkpoints)
    (home.checkpoints / link).symlink_to(checkpoint_file.name)
    init()
    assert CheckpointFolder(home.checkpoints).names() == [checkpoint_file.stem]


def test_a_ledger_is_not_upgraded_under_a_daemon_of_the_older_version(
    init: Callable[[], str], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.home.daemon_lock._TRIES", 1)
    home.create()
    first_ledger(home.ledger_file)
    with DaemonLock.acquire(home), pytest.raises(AlreadyRunning):
        init()
    init()
    with DaemonLock.acquire(home):
        assert "ledger" in init()


def test_without_a_starter_a_fresh_home_says_what_makes_a_checkpoint(home: Home) -> None:
    lines = list(initialise(home, house_settings(home), lambda: None))
    assert lines[-1] == "checkpoint  none yet: make one with `clfd train LABELS.csv`"
    assert CheckpointFolder(home.checkpoints).names() == []


def test_the_daemon_of_a_fresh_home_answers_at_once(
    init: Callable[[], str], home: Home, starter: Starter, audio_file: Callable[..., Path]
) -> None:
    init()
    with House(home, house_settings(home)) as house:
        house.drop(audio_file(), "first.wav")
        house.service.start()
        house.live()
        assert house.rows() == [("first.wav", "done")]
        assert house.ask("SELECT name FROM checkpoint") == [(starter.name,)]


# The file in the package


@pytest.fixture(scope="module")
def packaged() -> tuple[Checkpoint, Starter]:
    found = packaged_starter()
    assert found is not None
    return parse_checkpoint(found.name, found.data), found


def test_the_packaged_starter_is_small_and_sound(packaged: tuple[Checkpoint, Starter]) -> None:
    checkpoint, found = packaged
    assert len(found.data) <= LARGEST_BYTES
    assert found.name.endswith(f"Z-{checkpoint.digest[:8]}")
    Predictor(checkpoint, torch.device("cpu"))


def test_the_packaged_starter_says_how_good_it_is_and_whom_to_thank(
    packaged: tuple[Checkpoint, Starter],
) -> None:
    facts: dict[str, Any] = packaged[0].description.training
    assert is_starter(packaged[0])
    assert 0.92 < facts["mean_accuracy_without_none"] <= 1  # 0.1 would be chance
    assert facts["mean_accuracy"] > 0.89  # of which `none` may cost 5 %
    assert "CC BY" in facts["attribution"]
    assert "Piczak" in facts["attribution"]
