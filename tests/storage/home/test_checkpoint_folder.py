"""The folder of checkpoints: which checkpoint is to be served."""

from __future__ import annotations

import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from storage.errors import StorageError
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.paths import Home

OLD, MIDDLE, NEW = (f"2026010{day}T000000Z-{day}{'a' * 7}" for day in (1, 2, 3))


@pytest.fixture
def checkpoint_folder(tmp_path: Path) -> CheckpointFolder:
    checkpoint_folder = CheckpointFolder(tmp_path)
    for name in (MIDDLE, OLD, NEW):
        checkpoint_folder.path(name).touch()
    return checkpoint_folder


def test_names_come_newest_first(checkpoint_folder: CheckpointFolder) -> None:
    assert checkpoint_folder.names() == [NEW, MIDDLE, OLD]


def test_half_written_and_foreign_files_are_not_on_the_shelf(
    checkpoint_folder: CheckpointFolder,
) -> None:
    (checkpoint_folder.folder / f".{NEW}.safetensors").touch()
    (checkpoint_folder.folder / "mine.safetensors").touch()
    assert len(checkpoint_folder.names()) == 3


def test_activating_remembers_what_was_active(checkpoint_folder: CheckpointFolder) -> None:
    checkpoint_folder.activate(OLD)
    checkpoint_folder.activate(NEW)
    assert (checkpoint_folder.active(), checkpoint_folder.previous()) == (NEW, OLD)


def test_what_was_refused_does_not_become_the_previous_one(
    checkpoint_folder: CheckpointFolder,
) -> None:
    checkpoint_folder.activate(OLD)
    checkpoint_folder.activate(NEW)
    checkpoint_folder.activate(MIDDLE, refused=[NEW])
    assert (checkpoint_folder.active(), checkpoint_folder.previous()) == (MIDDLE, OLD)


def test_from_what_was_refused_there_is_a_way_back_and_none_forward(
    checkpoint_folder: CheckpointFolder,
) -> None:
    checkpoint_folder.activate(OLD)
    checkpoint_folder.activate(NEW)
    assert checkpoint_folder.rollback(refused=[NEW]) == OLD
    with pytest.raises(StorageError, match="no previous checkpoint"):
        checkpoint_folder.rollback(refused=[NEW])


def test_activating_the_active_one_keeps_the_previous(checkpoint_folder: CheckpointFolder) -> None:
    for name in (OLD, NEW, NEW):
        checkpoint_folder.activate(name)
    assert (checkpoint_folder.active(), checkpoint_folder.previous()) == (NEW, OLD)


def test_rolling_back_twice_ends_where_it_began(checkpoint_folder: CheckpointFolder) -> None:
    checkpoint_folder.activate(OLD)
    checkpoint_folder.activate(NEW)
    assert [checkpoint_folder.rollback(), checkpoint_folder.rollback()] == [OLD, NEW]


def test_there_is_no_way_back_from_the_first_checkpoint(
    checkpoint_folder: CheckpointFolder,
) -> None:
    checkpoint_folder.activate(OLD)
    with pytest.raises(StorageError, match="no previous checkpoint"):
        checkpoint_folder.rollback()


def test_a_link_that_leads_nowhere_is_no_checkpoint(checkpoint_folder: CheckpointFolder) -> None:
    checkpoint_folder.activate(NEW)
    checkpoint_folder.path(NEW).unlink()
    assert checkpoint_folder.active() is None


def test_a_link_that_leads_out_of_the_shelf_is_no_checkpoint(
    checkpoint_folder: CheckpointFolder,
) -> None:
    (checkpoint_folder.folder / "active").symlink_to(
        Path("..") / checkpoint_folder.folder.name / f"{NEW}.safetensors"
    )
    assert checkpoint_folder.active() is None


@pytest.mark.parametrize("link", ["active", "previous"])
def test_a_link_that_leads_to_no_checkpoint_is_told(
    checkpoint_folder: CheckpointFolder, link: str
) -> None:
    assert checkpoint_folder.link_problem(link) is None
    place = checkpoint_folder.folder / link
    place.symlink_to("gone.safetensors")
    assert (
        checkpoint_folder.link_problem(link)
        == f"the link {place} leads to gone.safetensors, not there"
    )
    place.unlink()
    place.mkdir()
    assert checkpoint_folder.link_problem(link) == f"{place} is no link; move it away"


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    checkpoint_folder = CheckpointFolder(tmp_path / "gone")
    assert (
        checkpoint_folder.link_problem("active") == f"the folder {tmp_path / 'gone'} is not there"
    )
    assert checkpoint_folder.names() == []


def test_a_stranger_reads_that_the_folder_is_not_theirs(
    checkpoint_folder: CheckpointFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    monkeypatch.setattr("pathlib.Path.readlink", refuse)
    denied = r"cannot list the checkpoints folder .*: Permission denied; join the group"
    for look in (
        checkpoint_folder.names,
        lambda: checkpoint_folder.find("active"),
        lambda: checkpoint_folder.find(NEW),
    ):
        with pytest.raises(StorageError, match=denied):
            look()
    assert checkpoint_folder.active() is None
    assert str(checkpoint_folder.link_problem("active")).endswith("active: Permission denied")


def test_a_folder_in_the_place_of_a_link_is_not_replaced(
    checkpoint_folder: CheckpointFolder,
) -> None:
    (checkpoint_folder.folder / "active").mkdir()
    with pytest.raises(StorageError, match=r"cannot make the link .*active: .*; move away what"):
        checkpoint_folder.activate(NEW)


def test_what_is_not_there_cannot_become_active(checkpoint_folder: CheckpointFolder) -> None:
    checkpoint_folder.activate(OLD)
    with pytest.raises(StorageError, match="there is no checkpoint"):
        checkpoint_folder.activate("20260109T000000Z-99999999")
    assert checkpoint_folder.active() == OLD


@pytest.mark.parametrize(
    "reference", [NEW, f"{NEW}.safetensors", "20260103", "3aa", "3aaaaaaa" + "b" * 56, "active"]
)
def test_a_checkpoint_has_many_names(checkpoint_folder: CheckpointFolder, reference: str) -> None:
    checkpoint_folder.activate(NEW)
    assert checkpoint_folder.find(reference) == NEW


@pytest.mark.parametrize("reference", ["2026", "", "zzz", "previous"])
def test_a_name_that_means_no_single_checkpoint_lists_what_there_is(
    checkpoint_folder: CheckpointFolder, reference: str
) -> None:
    with pytest.raises(StorageError, match=OLD):
        checkpoint_folder.find(reference)


# What comes and goes


def test_a_checkpoint_is_named_by_its_file_as_well(
    checkpoint_folder: CheckpointFolder, tmp_path: Path
) -> None:
    file = tmp_path / "yard.safetensors"
    file.touch()
    assert checkpoint_folder.locate(str(file)) == file
    assert checkpoint_folder.locate(NEW) == checkpoint_folder.path(NEW)


def test_a_file_comes_onto_the_shelf_whole_and_for_the_group(
    checkpoint_folder: CheckpointFolder,
) -> None:
    checkpoint_folder.put(NEW, b"content")
    assert checkpoint_folder.path(NEW).read_bytes() == b"content"
    assert checkpoint_folder.path(NEW).stat().st_mode & 0o777 == 0o660
    assert len(list(checkpoint_folder.folder.iterdir())) == 3


def test_a_half_written_file_never_has_its_final_name(
    checkpoint_folder: CheckpointFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    fsync = os.fsync

    def look_and_sync(handle: int) -> None:
        seen.append({path.name for path in checkpoint_folder.folder.iterdir()})
        fsync(handle)

    checkpoint_folder.remove(NEW)
    monkeypatch.setattr("os.fsync", look_and_sync)
    checkpoint_folder.put(NEW, b"content")
    while_writing, after_renaming = seen
    assert checkpoint_folder.path(NEW).name not in while_writing
    assert checkpoint_folder.path(NEW).name in after_renaming


@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.replace"])
def test_a_file_that_does_not_fit_leaves_nothing_behind(
    checkpoint_folder: CheckpointFolder, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def disk_full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(step, disk_full)
    with pytest.raises(StorageError, match=r"cannot write .*: No space left on device"):
        checkpoint_folder.put(NEW, b"content")
    assert checkpoint_folder.path(NEW).read_bytes() == b""
    assert len(list(checkpoint_folder.folder.iterdir())) == 3


def test_what_is_removed_is_gone(checkpoint_folder: CheckpointFolder) -> None:
    checkpoint_folder.remove(OLD)
    assert checkpoint_folder.names() == [NEW, MIDDLE]


def test_neither_the_active_nor_the_previous_one_can_be_removed(
    checkpoint_folder: CheckpointFolder,
) -> None:
    checkpoint_folder.activate(OLD)
    checkpoint_folder.activate(NEW)
    with pytest.raises(StorageError, match=f"{NEW} is active .* `clfd checkpoints activate`"):
        checkpoint_folder.remove(NEW)
    with pytest.raises(StorageError, match=f"{OLD} is the previous one"):
        checkpoint_folder.remove(OLD)
    assert len(checkpoint_folder.names()) == 3


def test_removing_waits_for_an_activation_and_then_respects_it(
    checkpoint_folder: CheckpointFolder,
) -> None:
    handle = os.open(checkpoint_folder.folder, os.O_RDONLY)
    with ThreadPoolExecutor(1) as thread:
        fcntl.flock(handle, fcntl.LOCK_EX)
        removal = thread.submit(checkpoint_folder.remove, OLD)
        (checkpoint_folder.folder / "active").symlink_to(checkpoint_folder.path(OLD).name)
        os.close(handle)
        with pytest.raises(StorageError, match="is active"):
            removal.result()
    assert checkpoint_folder.active() == OLD


def test_pruning_leaves_the_newest(checkpoint_folder: CheckpointFolder) -> None:
    assert checkpoint_folder.prune(2) == [OLD]
    assert checkpoint_folder.names() == [NEW, MIDDLE]


def test_nothing_is_pruned_where_all_are_to_be_kept(checkpoint_folder: CheckpointFolder) -> None:
    assert checkpoint_folder.prune(0) == checkpoint_folder.prune(3) == []


def test_pruning_spares_what_is_active_previous_or_named(
    checkpoint_folder: CheckpointFolder,
) -> None:
    checkpoint_folder.activate(OLD)
    assert checkpoint_folder.prune(1, spared=[MIDDLE]) == []
    checkpoint_folder.activate(MIDDLE)
    assert checkpoint_folder.prune(1) == []


def test_homes_whose_checkpoints_are_one_folder_serve_the_same(tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    homes = [Home(tmp_path / name) for name in ("one", "two")]
    for home in homes:
        home.root.mkdir()
        home.checkpoints.symlink_to(share)
        home.create()
    here, there = (CheckpointFolder(home.checkpoints) for home in homes)
    for name in (OLD, NEW):
        here.put(name, name.encode())
        here.activate(name)
        assert there.active() == name
    assert there.locate("previous").read_bytes() == OLD.encode()
