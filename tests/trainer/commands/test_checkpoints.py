"""`clfd checkpoints`: which are in the folder, and which is served."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from checkpoint_files import forge_checkpoint
from click.testing import CliRunner, Result

from classifier.errors import CheckpointError
from classifier.model.checkpoint import read_checkpoint
from storage.commands.context import Invocation
from storage.errors import StorageError
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.paths import Home
from storage.ledger.ledger import open_ledger
from storage.settings.loading import load_settings
from trainer.checkpoints.remove import prune_after_training
from trainer.commands.checkpoints import checkpoints
from trainer.errors import ExportError

Run = Callable[..., Result]

OLDEST = "20250101T000000Z-00000009"
NEWER = "20260202T000000Z-00000000"
BROKEN = "20260303T000000Z-11111111"
NEWEST = "20260404T000000Z-22222222"


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
def checkpoint_folder(home: Home, checkpoint_file: Path) -> CheckpointFolder:
    """Three checkpoints; the newest is broken, the oldest active."""
    checkpoint_folder = CheckpointFolder(home.checkpoints)
    shutil.copy(checkpoint_file, home.checkpoints)
    shutil.copy(checkpoint_file, checkpoint_folder.path(NEWER))
    checkpoint_folder.path(BROKEN).write_bytes(b"no weights")
    checkpoint_folder.activate(checkpoint_file.stem)
    return checkpoint_folder


@pytest.mark.usefixtures("checkpoint_folder")
def test_the_list_begins_with_the_newest_and_marks_what_is_active(
    run: Run, checkpoint_file: Path
) -> None:
    result = run("list")
    _, broken, newer, oldest = result.stdout.splitlines()
    assert broken.split()[:2] == [BROKEN, "refused"]
    assert newer.split()[:2] == [NEWER, "3"]
    assert oldest.split()[:3] == [checkpoint_file.stem, "active", "3"]
    assert f"checkpoint {BROKEN}.safetensors refused" in result.stderr


@pytest.mark.parametrize("option", ["--json", "--format=json"])
@pytest.mark.usefixtures("checkpoint_folder")
def test_the_list_for_programs_has_state_data_recipe_and_figures(
    run: Run, checkpoint_file: Path, option: str
) -> None:
    broken, newer, oldest = json.loads(run("list", option).stdout)
    assert (broken["checkpoint"], broken["state"]) == (BROKEN, None)
    assert "refused" in broken["refused"]
    assert (oldest["checkpoint"], oldest["state"]) == (checkpoint_file.stem, "active")
    assert (oldest["labels"], oldest["epochs"], oldest["refused"]) == (3, 0, None)
    assert {"recipe", "labels_file", "train_files", "val_accuracy"} <= newer.keys()


def test_an_empty_list_for_programs_is_an_empty_array(run: Run) -> None:
    assert json.loads(run("list", "--json").stdout) == []


def test_an_empty_checkpoint_folder_says_what_fills_it(run: Run) -> None:
    result = run("list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "`clfd train` makes one" in result.stderr


def test_the_list_says_what_is_wrong_with_the_links(
    run: Run, checkpoint_folder: CheckpointFolder
) -> None:
    (checkpoint_folder.folder / "active").unlink()
    (checkpoint_folder.folder / "active").mkdir()
    (checkpoint_folder.folder / "previous").symlink_to("gone.safetensors")
    result = run("list")
    assert len(result.stdout.splitlines()) == 4
    assert "active is no link; move it away\n" in result.stderr
    assert "previous leads to gone.safetensors, not there\n" in result.stderr


def test_a_stranger_reads_that_the_list_is_not_for_them(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    assert "Permission denied; join the group" in str(run("list").exception)


def test_show_tells_everything_but_the_weights(
    run: Run, checkpoint_folder: CheckpointFolder, checkpoint_file: Path
) -> None:
    facts = json.loads(run("show", "active", "--json").stdout)
    assert facts["digest"] == read_checkpoint(checkpoint_folder.path(checkpoint_file.stem)).digest
    assert facts["labels"] == ["bell", "dog", "rain"]
    assert facts["audio_format"]["sample_rate_hz"] == 8000
    assert facts["training"] == {"epochs": 0}


def test_activate_changes_what_is_served_and_rollback_undoes_it(
    run: Run, checkpoint_folder: CheckpointFolder, checkpoint_file: Path
) -> None:
    result = run("activate", NEWER[:8])
    assert f"{NEWER} is active now" in result.stderr
    assert (checkpoint_folder.active(), checkpoint_folder.previous()) == (
        NEWER,
        checkpoint_file.stem,
    )
    run("rollback")
    assert (checkpoint_folder.active(), checkpoint_folder.previous()) == (
        checkpoint_file.stem,
        NEWER,
    )


def test_a_broken_checkpoint_is_never_activated(
    run: Run, checkpoint_folder: CheckpointFolder, checkpoint_file: Path
) -> None:
    result = run("activate", BROKEN)
    assert isinstance(result.exception, CheckpointError)
    assert checkpoint_folder.active() == checkpoint_file.stem


@pytest.mark.parametrize("words", [("activate", NEWER), ("rollback",)])
def test_whoever_activates_what_killed_the_daemon_has_it_tried_again(
    run: Run, home: Home, checkpoint_folder: CheckpointFolder, words: tuple[str, ...]
) -> None:
    run("activate", NEWER)
    if words == ("rollback",):
        checkpoint_folder.rollback()
    home.trial_file.write_text(json.dumps({NEWER: {"tries": 2, "boot": ""}}))
    run(*words)
    assert (checkpoint_folder.active(), home.trial_file.exists()) == (NEWER, False)


def test_rollback_goes_back_to_what_was_served_and_not_to_what_the_daemon_refused(
    run: Run, home: Home, checkpoint_folder: CheckpointFolder, checkpoint_file: Path
) -> None:
    run("activate", NEWER)
    with open_ledger(load_settings(home, environ={}).database, "daemon") as ledger:
        ledger.refuse_checkpoint(NEWER, "a" * 64, "its canary differs")
    shutil.copy(checkpoint_file, checkpoint_folder.path(NEWEST))
    run("activate", NEWEST)
    assert run("rollback").exit_code == 0
    assert (checkpoint_folder.active(), checkpoint_folder.previous()) == (
        checkpoint_file.stem,
        NEWEST,
    )


@pytest.mark.parametrize("words", [("rollback",), ("show", "nonsense"), ("activate", "previous")])
@pytest.mark.usefixtures("checkpoint_folder")
def test_a_name_of_no_checkpoint_is_an_error(run: Run, words: tuple[str, ...]) -> None:
    assert isinstance(run(*words).exception, StorageError)


# Import


def test_an_imported_checkpoint_is_there_but_not_served(
    run: Run, home: Home, checkpoint_file: Path
) -> None:
    result = run("import", str(checkpoint_file))
    assert result.stdout == f"{checkpoint_file.stem}\n"
    assert f"clfd checkpoints activate {checkpoint_file.stem}" in result.stderr
    checkpoint_folder = CheckpointFolder(home.checkpoints)
    assert checkpoint_folder.path(checkpoint_file.stem).read_bytes() == checkpoint_file.read_bytes()
    assert (checkpoint_folder.names(), checkpoint_folder.active()) == ([checkpoint_file.stem], None)


def test_an_imported_checkpoint_can_be_served_at_once(
    run: Run, home: Home, checkpoint_file: Path
) -> None:
    assert "is active now" in run("import", str(checkpoint_file), "--activate").stderr
    assert CheckpointFolder(home.checkpoints).active() == checkpoint_file.stem


def test_importing_makes_the_home_that_it_needs(tmp_path: Path, checkpoint_file: Path) -> None:
    home = Home(tmp_path / "fresh")
    CliRunner().invoke(
        checkpoints, ["import", str(checkpoint_file)], obj=Invocation(home_option=home.root)
    )
    assert CheckpointFolder(home.checkpoints).names() == [checkpoint_file.stem]


@pytest.mark.parametrize("name", ["mine.safetensors", f"{NEWER}.safetensors", "noname"])
def test_a_file_with_a_wrong_name_gets_the_right_one(
    run: Run, home: Home, checkpoint_file: Path, tmp_path: Path, name: str
) -> None:
    renamed = shutil.copy(checkpoint_file, tmp_path / name)
    named = run("import", str(renamed)).stdout.strip()
    assert named.endswith(checkpoint_file.stem[-9:])
    assert CheckpointFolder(home.checkpoints).names() == [named]


def test_what_is_there_already_is_not_imported_twice(
    run: Run, home: Home, checkpoint_file: Path, tmp_path: Path
) -> None:
    run("import", str(checkpoint_file))
    result = run("import", str(shutil.copy(checkpoint_file, tmp_path / "again.safetensors")))
    assert (result.exit_code, result.stdout) == (0, f"{checkpoint_file.stem}\n")
    assert "is already in the checkpoints folder" in result.stderr
    assert len(CheckpointFolder(home.checkpoints).names()) == 1


def test_importing_replaces_a_damaged_checkpoint_of_the_same_name(
    run: Run, home: Home, checkpoint_file: Path
) -> None:
    damaged = CheckpointFolder(home.checkpoints).path(checkpoint_file.stem)
    damaged.write_bytes(checkpoint_file.read_bytes()[:-1])
    assert run("import", str(checkpoint_file)).exit_code == 0
    assert damaged.read_bytes() == checkpoint_file.read_bytes()


def test_an_invalid_file_is_not_imported(run: Run, home: Home, tmp_path: Path) -> None:
    (tmp_path / "page.safetensors").write_text("<html>404</html>")
    result = run("import", str(tmp_path / "page.safetensors"))
    assert isinstance(result.exception, CheckpointError)
    assert "page.safetensors refused: not a whole safetensors file" in str(result.exception)
    assert CheckpointFolder(home.checkpoints).names() == []


@pytest.mark.parametrize("facts", [{"note": "\ud800"}, {"parent": [[]] * 2}])
def test_facts_that_nobody_foresaw_are_refused_or_shown(
    run: Run, home: Home, checkpoint_file: Path, tmp_path: Path, facts: dict[str, object]
) -> None:
    odd = forge_checkpoint(checkpoint_file, tmp_path / "odd.safetensors", training=facts)
    result = run("import", str(odd))
    if "note" in facts:
        assert "odd.safetensors refused: field training cannot be" in str(result.exception)
        assert CheckpointFolder(home.checkpoints).names() == []
    else:
        assert run("show", result.stdout.strip()).exit_code == 0


# Export


@pytest.mark.usefixtures("checkpoint_folder")
def test_an_exported_checkpoint_is_the_same_file(
    run: Run, checkpoint_file: Path, tmp_path: Path
) -> None:
    result = run("export", "active", "-o", str(tmp_path / "out.safetensors"))
    assert (result.exit_code, result.stdout) == (0, "")
    assert (tmp_path / "out.safetensors").read_bytes() == checkpoint_file.read_bytes()


@pytest.mark.usefixtures("checkpoint_folder")
def test_export_replaces_a_file_only_by_force(
    run: Run, checkpoint_file: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.safetensors"
    target.write_text("precious")
    refused = run("export", "active", "-o", str(target))
    assert isinstance(refused.exception, ExportError)
    assert "exists already" in str(refused.exception)
    assert target.read_text() == "precious"
    assert run("export", "active", "-o", str(target), "--force").exit_code == 0
    assert target.read_bytes() == checkpoint_file.read_bytes()


@pytest.mark.usefixtures("checkpoint_folder")
def test_a_folder_that_is_not_there_is_named(run: Run, tmp_path: Path) -> None:
    result = run("export", "active", "-o", str(tmp_path / "none" / "out.safetensors"))
    assert isinstance(result.exception, StorageError)
    assert "none/out.safetensors: No such file or directory" in str(result.exception)


# Remove


def test_a_removed_checkpoint_takes_its_reports_along(
    run: Run, checkpoint_folder: CheckpointFolder, home: Home
) -> None:
    for report in (BROKEN, f"{BROKEN}-evaluation-20260304T000000Z", NEWER):
        (home.reports / report).mkdir()
        (home.reports / report / "metrics.json").touch()
    assert f"{BROKEN} is removed" in run("remove", BROKEN).stderr
    assert BROKEN not in checkpoint_folder.names()
    assert [folder.name for folder in home.reports.iterdir()] == [NEWER]


@pytest.mark.parametrize("reference", ["active", "previous"])
def test_what_is_served_or_was_before_stays_and_everything_with_it(
    run: Run, checkpoint_folder: CheckpointFolder, reference: str
) -> None:
    checkpoint_folder.activate(NEWER)
    result = run("remove", BROKEN, reference)
    assert isinstance(result.exception, StorageError)
    assert len(checkpoint_folder.names()) == 3


# Pruning


def test_pruning_takes_the_oldest_and_their_reports(
    checkpoint_folder: CheckpointFolder, home: Home, checkpoint_file: Path
) -> None:
    shutil.copy(checkpoint_file, checkpoint_folder.path(OLDEST))
    (home.reports / OLDEST).mkdir()
    message: list[str] = []
    prune_after_training(home, 2, NEWER, message.append)
    assert checkpoint_folder.names() == [
        BROKEN,
        NEWER,
        checkpoint_file.stem,
    ]  # the last one is active
    assert message == [f"removed by checkpoints.keep = 2: {OLDEST}"]
    assert list(home.reports.iterdir()) == []


def test_the_starter_is_never_pruned(
    checkpoint_folder: CheckpointFolder, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.checkpoints.remove.starter_name", lambda: NEWER)
    prune_after_training(home, 1, BROKEN, lambda _: None)
    assert NEWER in checkpoint_folder.names()


def test_what_was_trained_last_stays_also_if_the_clock_was_set_back(
    checkpoint_folder: CheckpointFolder, home: Home, checkpoint_file: Path
) -> None:
    shutil.copy(checkpoint_file, checkpoint_folder.path(OLDEST))
    prune_after_training(home, 1, OLDEST, lambda _: None)
    assert OLDEST in checkpoint_folder.names()


@pytest.mark.usefixtures("checkpoint_folder")
def test_files_that_cannot_be_pruned_spoil_no_training(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.unlink", refuse)
    message: list[str] = []
    prune_after_training(home, 1, BROKEN, message.append)
    assert "Permission denied" in message[0]


def test_no_checkpoint_is_written_under_the_name_of_a_pickle(
    run: Run, checkpoint_folder: CheckpointFolder, tmp_path: Path
) -> None:
    refused = run("export", "active", "-o", str(tmp_path / "m.pt"))
    assert (refused.exit_code, "never as a pickle" in refused.stderr) == (2, True)
    assert not (tmp_path / "m.pt").exists()
    assert run("export", "active", "-o", str(tmp_path / "m")).exit_code == 0
