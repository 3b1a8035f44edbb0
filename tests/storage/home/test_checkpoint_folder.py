"""The shelf: which checkpoint is to be served."""

from __future__ import annotations

import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from storage.errors import StorageError
from storage.home.checkpoint_folder import CheckpointFolder

OLD, MIDDLE, NEW = (f"2026010{day}T000000Z-{day}{'a' * 7}" for day in (1, 2, 3))


@pytest.fixture
def shelf(tmp_path: Path) -> CheckpointFolder:
    shelf = CheckpointFolder(tmp_path)
    for name in (MIDDLE, OLD, NEW):
        shelf.path(name).touch()
    return shelf


def test_names_come_newest_first(shelf: CheckpointFolder) -> None:
    assert shelf.names() == [NEW, MIDDLE, OLD]


def test_half_written_and_foreign_files_are_not_on_the_shelf(shelf: CheckpointFolder) -> None:
    (shelf.folder / f".{NEW}.safetensors").touch()
    (shelf.folder / "mine.safetensors").touch()
    assert len(shelf.names()) == 3


def test_activating_remembers_what_was_active(shelf: CheckpointFolder) -> None:
    shelf.activate(OLD)
    shelf.activate(NEW)
    assert (shelf.active(), shelf.previous()) == (NEW, OLD)


def test_what_was_refused_does_not_become_the_previous_one(shelf: CheckpointFolder) -> None:
    shelf.activate(OLD)
    shelf.activate(NEW)
    shelf.activate(MIDDLE, refused=[NEW])
    assert (shelf.active(), shelf.previous()) == (MIDDLE, OLD)


def test_from_what_was_refused_there_is_a_way_back_and_none_forward(
    shelf: CheckpointFolder,
) -> None:
    shelf.activate(OLD)
    shelf.activate(NEW)
    assert shelf.rollback(refused=[NEW]) == OLD
    with pytest.raises(StorageError, match="no previous checkpoint"):
        shelf.rollback(refused=[NEW])


def test_activating_the_active_one_keeps_the_previous(shelf: CheckpointFolder) -> None:
    for name in (OLD, NEW, NEW):
        shelf.activate(name)
    assert (shelf.active(), shelf.previous()) == (NEW, OLD)


def test_rolling_back_twice_ends_where_it_began(shelf: CheckpointFolder) -> None:
    shelf.activate(OLD)
    shelf.activate(NEW)
    assert [shelf.rollback(), shelf.rollback()] == [OLD, NEW]


def test_there_is_no_way_back_from_the_first_checkpoint(shelf: CheckpointFolder) -> None:
    shelf.activate(OLD)
    with pytest.raises(StorageError, match="no previous checkpoint"):
        shelf.rollback()


def test_a_link_that_leads_nowhere_is_no_checkpoint(shelf: CheckpointFolder) -> None:
    shelf.activate(NEW)
    shelf.path(NEW).unlink()
    assert shelf.active() is None


def test_a_link_that_leads_out_of_the_shelf_is_no_checkpoint(shelf: CheckpointFolder) -> None:
    (shelf.folder / "active").symlink_to(Path("..") / shelf.folder.name / f"{NEW}.safetensors")
    assert shelf.active() is None


@pytest.mark.parametrize("link", ["active", "previous"])
def test_a_link_that_leads_to_no_checkpoint_is_told(shelf: CheckpointFolder, link: str) -> None:
    assert shelf.link_problem(link) is None
    place = shelf.folder / link
    place.symlink_to("gone.safetensors")
    assert shelf.link_problem(link) == f"the link {place} leads to gone.safetensors, not there"
    place.unlink()
    place.mkdir()
    assert shelf.link_problem(link) == f"{place} is no link; move it away"


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    shelf = CheckpointFolder(tmp_path / "gone")
    assert shelf.link_problem("active") == f"the folder {tmp_path / 'gone'} is not there"
    assert shelf.names() == []


def test_a_stranger_reads_that_the_folder_is_not_theirs(
    shelf: CheckpointFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    monkeypatch.setattr("pathlib.Path.readlink", refuse)
    denied = r"cannot list the checkpoints folder .*: Permission denied; join the group"
    for look in (shelf.names, lambda: shelf.find("active"), lambda: shelf.find(NEW)):
        with pytest.raises(StorageError, match=denied):
            look()
    assert shelf.active() is None
    assert str(shelf.link_problem("active")).endswith("active: Permission denied")


def test_a_folder_in_the_place_of_a_link_is_not_replaced(shelf: CheckpointFolder) -> None:
    (shelf.folder / "active").mkdir()
    with pytest.raises(StorageError, match=r"cannot make the link .*active: .*; move away what"):
        shelf.activate(NEW)


def test_what_is_not_there_cannot_become_active(shelf: CheckpointFolder) -> None:
    shelf.activate(OLD)
    with pytest.raises(StorageError, match="on no shelf"):
        shelf.activate("20260109T000000Z-99999999")
    assert shelf.active() == OLD


@pytest.mark.parametrize(
    "reference", [NEW, f"{NEW}.safetensors", "20260103", "3aa", "3aaaaaaa" + "b" * 56, "active"]
)
def test_a_checkpoint_has_many_names(shelf: CheckpointFolder, reference: str) -> None:
    shelf.activate(NEW)
    assert shelf.find(reference) == NEW


@pytest.mark.parametrize("reference", ["2026", "", "zzz", "previous"])
def test_a_name_that_means_no_single_checkpoint_lists_what_there_is(
    shelf: CheckpointFolder, reference: str
) -> None:
    with pytest.raises(StorageError, match=OLD):
        shelf.find(reference)


# What comes and goes


def test_a_checkpoint_is_named_by_its_file_as_well(shelf: CheckpointFolder, tmp_path: Path) -> None:
    file = tmp_path / "yard.safetensors"
    file.touch()
    assert shelf.locate(str(file)) == file
    assert shelf.locate(NEW) == shelf.path(NEW)


def test_a_file_comes_onto_the_shelf_whole_and_for_the_group(shelf: CheckpointFolder) -> None:
    shelf.put(NEW, b"content")
    assert shelf.path(NEW).read_bytes() == b"content"
    assert shelf.path(NEW).stat().st_mode & 0o777 == 0o660
    assert len(list(shelf.folder.iterdir())) == 3


def test_a_half_written_file_never_has_its_final_name(
    shelf: CheckpointFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    fsync = os.fsync

    def look_and_sync(handle: int) -> None:
        seen.append({path.name for path in shelf.folder.iterdir()})
        fsync(handle)

    shelf.remove(NEW)
    monkeypatch.setattr("os.fsync", look_and_sync)
    shelf.put(NEW, b"content")
    while_writing, after_renaming = seen
    assert shelf.path(NEW).name not in while_writing
    assert shelf.path(NEW).name in after_renaming


@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.replace"])
def test_a_file_that_does_not_fit_leaves_nothing_behind(
    shelf: CheckpointFolder, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def disk_full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(step, disk_full)
    with pytest.raises(StorageError, match=r"cannot write .*: No space left on device"):
        shelf.put(NEW, b"content")
    assert shelf.path(NEW).read_bytes() == b""
    assert len(list(shelf.folder.iterdir())) == 3


def test_what_is_removed_is_gone(shelf: CheckpointFolder) -> None:
    shelf.remove(OLD)
    assert shelf.names() == [NEW, MIDDLE]


def test_neither_the_active_nor_the_previous_one_can_be_removed(shelf: CheckpointFolder) -> None:
    shelf.activate(OLD)
    shelf.activate(NEW)
    with pytest.raises(StorageError, match=f"{NEW} is active .* `clfd checkpoints activate`"):
        shelf.remove(NEW)
    with pytest.raises(StorageError, match=f"{OLD} is the previous one"):
        shelf.remove(OLD)
    assert len(shelf.names()) == 3


def test_removing_waits_for_an_activation_and_then_respects_it(shelf: CheckpointFolder) -> None:
    handle = os.open(shelf.folder, os.O_RDONLY)
    with ThreadPoolExecutor(1) as thread:
        fcntl.flock(handle, fcntl.LOCK_EX)
        removal = thread.submit(shelf.remove, OLD)
        (shelf.folder / "active").symlink_to(shelf.path(OLD).name)
        os.close(handle)
        with pytest.raises(StorageError, match="is active"):
            removal.result()
    assert shelf.active() == OLD


def test_pruning_leaves_the_newest(shelf: CheckpointFolder) -> None:
    assert shelf.prune(2) == [OLD]
    assert shelf.names() == [NEW, MIDDLE]


def test_nothing_is_pruned_where_all_are_to_be_kept(shelf: CheckpointFolder) -> None:
    assert shelf.prune(0) == shelf.prune(3) == []


def test_pruning_spares_what_is_active_previous_or_named(shelf: CheckpointFolder) -> None:
    shelf.activate(OLD)
    assert shelf.prune(1, spared=[MIDDLE]) == []
    shelf.activate(MIDDLE)
    assert shelf.prune(1) == []
