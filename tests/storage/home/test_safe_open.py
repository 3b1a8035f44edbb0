"""Nothing that others leave under a name of the home leads clfd astray, or has it wait."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from classifier.errors import CheckpointError
from classifier.model.checkpoint import read_checkpoint
from daemon.hooks.cursor import HookCursor
from storage.errors import StorageError
from storage.home.atomic_write import write_whole
from storage.home.daemon_lock import DaemonLock, holder, read_status, write_status
from storage.home.paths import Home
from storage.home.safe_open import file_digest, lock_folder, open_plain, read_bounded, read_plain
from trainer.training.resume import RunStage

THEIRS = b"somebody else's"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    file = tmp_path / "theirs"
    file.write_bytes(THEIRS)
    return file


def test_a_link_is_not_read(tmp_path: Path, theirs: Path) -> None:
    (tmp_path / "link").symlink_to(theirs)
    with pytest.raises(OSError, match="a link, a pipe or another special file"):
        read_plain(tmp_path / "link")


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY, os.O_RDWR])
def test_a_pipe_is_not_waited_for(tmp_path: Path, flags: int) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="a link, a pipe or another special file"):
        open_plain(tmp_path / "pipe", flags)


def leave_at(path: Path, theirs: Path) -> None:
    """The names under which files are prepared can be guessed."""
    path.with_name(f".{path.name}.{os.getpid()}.new").symlink_to(theirs)


def test_the_status_leaves_alone_where_a_link_leads(home: Home, theirs: Path) -> None:
    home.status_file.symlink_to(theirs)
    leave_at(home.status_file, theirs)
    assert read_status(home) is None
    write_status(home, {"pid": 1})
    assert (read_status(home), theirs.read_bytes()) == ({"pid": 1}, THEIRS)


def test_what_is_written_whole_leaves_alone_where_a_link_leads(home: Home, theirs: Path) -> None:
    leave_at(home.settings_file, theirs)
    write_whole(home.settings_file, b"ours")
    assert (home.settings_file.read_bytes(), theirs.read_bytes()) == (b"ours", THEIRS)


@pytest.mark.parametrize("leave", ["link", "pipe"])
def test_a_lock_that_is_no_file_is_said_to_be_none(home: Home, theirs: Path, leave: str) -> None:
    if leave == "link":
        home.lock_file.symlink_to(theirs)
    else:
        os.mkfifo(home.lock_file)
    for use in (DaemonLock.acquire, holder):
        with pytest.raises(StorageError, match=r"daemon.lock: it is a link, .*; remove it$"):
            use(home)
    assert theirs.read_bytes() == THEIRS


def test_a_pipe_is_no_status_no_checkpoint_no_place_and_no_journal(home: Home) -> None:
    def refusal(of: Callable[[Path], object]) -> str:
        with pytest.raises((StorageError, CheckpointError)) as refused:
            of(pipe)
        return str(refused.value)

    pipe = home.root / "20260101T000000Z-aaaaaaaa.safetensors"
    os.mkfifo(pipe)
    os.mkfifo(home.status_file)
    assert read_status(home) is None
    assert RunStage(pipe).load() is None
    assert "it is no file" in refusal(read_checkpoint)
    assert "remove it" in refusal(lambda file: HookCursor(file, lambda: ("", 0)))


def test_what_a_person_names_is_read_through_links_and_within_a_bound(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_bytes(b"12345")
    link.symlink_to(file)
    assert read_bounded(link, max_bytes=5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_bounded(link, max_bytes=4)


@pytest.mark.parametrize("what", ["/dev/zero", "/tmp"])
def test_devices_and_folders_are_no_files(what: str) -> None:
    with pytest.raises(OSError, match="no file"):
        read_bounded(Path(what))


def test_a_status_and_a_place_without_end_are_none(home: Home) -> None:
    for file in (home.status_file, home.hook_file("command")):
        file.touch()
        os.truncate(file, 50 * 2**30)
    assert read_status(home) is None
    with pytest.raises(StorageError, match="remove it"):
        HookCursor(home.hook_file("command"), lambda: ("", 0))


def test_a_digest_is_that_of_the_file_and_a_pipe_has_none(tmp_path: Path) -> None:
    file, pipe = tmp_path / "file", tmp_path / "pipe"
    file.write_bytes(b"")
    os.mkfifo(pipe)
    assert file_digest(file).startswith("e3b0c44298fc1c14")
    with pytest.raises(OSError, match="no file"):
        file_digest(pipe)


def test_a_folder_is_locked_once_until_its_descriptor_is_closed(tmp_path: Path) -> None:
    lock = lock_folder(tmp_path)
    with pytest.raises(BlockingIOError):
        lock_folder(tmp_path, wait=False)
    os.close(lock)
    os.close(lock_folder(tmp_path, wait=False))
