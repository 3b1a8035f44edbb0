"""One file on its way to the archive: by rename or by copy, and what may come between."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from moves import a_move, files_below, mover_to
from swapped_folders import put_link_in_place_of

from daemon.archive import leaving, mover, rename
from daemon.archive.folder_entry import FolderEntry
from daemon.intake.open_files import OpenFiles
from storage.ledger.archive_moves import (
    Archived,
    Move,
    MoveDropped,
    MoveFailed,
    MoveWaits,
    Redirected,
)


def test_a_move_to_another_file_system_keeps_time_and_mode(
    inbox: Path, elsewhere: Path, audio_file: Callable[..., Path]
) -> None:
    source = Path(shutil.copyfile(audio_file(), inbox / "a.wav"))
    source.chmod(0o640)
    os.utime(source, ns=(1_000, 1_234_567_890_123_456_789))
    archive = elsewhere / "archive"
    mover_to(archive, inbox).move([a_move(source, archive / "a.wav")])
    found = (archive / "a.wav").stat()
    assert (found.st_mtime_ns, found.st_mode & 0o777) == (1_234_567_890_123_456_789, 0o640)


def test_a_version_that_comes_while_the_old_one_is_copied_stays_in_the_inbox(
    inbox: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, archive = inbox / "a.wav", elsewhere / "archive"
    source.write_bytes(b"old")
    rename = mover.rename_no_replace

    def write_a_new_one(there: FolderEntry, target: FolderEntry) -> None:
        rename(there, target)
        source.write_bytes(b"new version")

    monkeypatch.setattr(mover, "rename_no_replace", write_a_new_one)
    [result] = mover_to(archive, inbox).move([a_move(source, archive / "a.wav")])
    assert isinstance(result, Archived)
    assert (archive / "a.wav").read_bytes() == b"old"
    assert source.read_bytes() == b"new version"


def test_a_file_that_is_written_to_while_it_is_copied_stays_in_the_inbox(
    inbox: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, archive = inbox / "a.wav", elsewhere / "archive"
    source.write_bytes(b"begin")
    move, write = a_move(source, archive / "a.wav"), mover._write

    def write_on(file: int, block: bytes) -> None:
        write(file, block)
        monkeypatch.setattr(mover, "_write", write)
        with source.open("ab") as more:
            more.write(b" and end")

    monkeypatch.setattr(mover, "_write", write_on)
    assert mover_to(archive, inbox).move([move]) == [MoveDropped(move)]
    assert source.read_bytes() == b"begin and end"
    assert files_below(archive) == []


def test_bytes_that_come_after_the_copy_are_found_and_stay_in_the_inbox(
    inbox: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recorder that holds the file open writes on while its copy is put in its place."""
    source, archive = inbox / "a.wav", elsewhere / "archive"
    source.write_bytes(b"begin")
    move, rename = a_move(source, archive / "a.wav"), leaving._rename
    monkeypatch.setattr(OpenFiles, "is_open", lambda *_: False)  # nobody knows of it
    monkeypatch.setattr(leaving, "lease_tells", lambda _: None)
    with source.open("ab", buffering=0) as recorder:

        def write_on(there: FolderEntry, aside: FolderEntry) -> None:
            rename(there, aside)
            recorder.write(b" and end")

        monkeypatch.setattr(leaving, "_rename", write_on)
        mover_to(archive, inbox).move([move])
    assert files_below(inbox) == ["a.wav"]
    assert source.read_bytes() == b"begin and end"


def test_a_file_that_is_open_when_its_copy_is_in_place_stays_in_the_inbox(
    inbox: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, archive = inbox / "a.wav", elsewhere / "archive"
    source.write_bytes(b"sound")
    move = a_move(source, archive / "a.wav")
    monkeypatch.setattr(OpenFiles, "is_open", lambda *_: False)
    with source.open("ab"):
        mover_to(archive, inbox).move([move])
    assert files_below(inbox) == ["a.wav"]


def test_a_file_that_is_open_for_writing_is_not_moved(inbox: Path, tmp_path: Path) -> None:
    source, archive = inbox / "a.wav", tmp_path / "archive"
    source.write_bytes(b"sound")
    move = a_move(source, archive / "a.wav")
    with source.open("ab"):
        assert mover_to(archive, inbox).move([move]) == [MoveWaits(move)]
    [result] = mover_to(archive, inbox).move([move])
    assert isinstance(result, Archived)


@pytest.mark.parametrize("is_taken", [False, True], ids=["free", "taken"])
def test_a_file_that_a_kill_left_half_way_out_is_put_back(inbox: Path, is_taken: bool) -> None:
    (inbox / "card").mkdir()
    (inbox / "card" / ".clfd-leaving.a.wav").write_bytes(b"sound")
    if is_taken:
        (inbox / "card" / "a.wav").write_bytes(b"another sound")
    leaving.restore(os.fsencode(inbox), b"card/.clfd-leaving.a.wav")
    leaving.restore(os.fsencode(inbox), b"card/.clfd-leaving.a.wav")  # is gone
    assert (inbox / "card" / ("a.1.wav" if is_taken else "a.wav")).read_bytes() == b"sound"
    assert len(files_below(inbox)) == 1 + is_taken


def test_the_longest_name_leaves_too(inbox: Path, elsewhere: Path) -> None:
    source, archive = inbox / ("a" * 251 + ".wav"), elsewhere / "archive"
    source.write_bytes(b"sound")
    [result] = mover_to(archive, inbox).move([a_move(source, archive / source.name)])
    assert isinstance(result, Archived)
    assert files_below(inbox) == []


def test_one_file_system_mounted_twice_is_moved_by_copy(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As systemd does for each of its ReadWritePaths: same device, and yet no rename."""
    source, archive = inbox / "a.wav", tmp_path / "archive"
    source.write_bytes(b"sound")
    rename = mover.rename_no_replace

    def refuse_across(there: FolderEntry, target: FolderEntry) -> None:
        if os.path.dirname(there.path) != os.path.dirname(target.path):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        rename(there, target)

    monkeypatch.setattr(mover, "rename_no_replace", refuse_across)
    [result] = mover_to(archive, inbox).move([a_move(source, archive / "a.wav")])
    assert isinstance(result, Archived)
    assert (archive / "a.wav").read_bytes() == b"sound"
    assert files_below(inbox) == []


def test_a_file_that_may_not_be_deleted_in_the_inbox_lies_there_alone(
    inbox: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, archive = inbox / "a.wav", elsewhere / "archive"
    source.write_bytes(b"sound")
    move, unlink = a_move(source, archive / "a.wav"), FolderEntry.unlink

    def refuse(entry: FolderEntry) -> None:
        if os.path.dirname(entry.path) == os.path.dirname(move.source):
            raise PermissionError(errno.EPERM, "Operation not permitted", entry.path)
        unlink(entry)

    monkeypatch.setattr(FolderEntry, "unlink", refuse)
    [result] = mover_to(archive, inbox).move([move])
    assert isinstance(result, MoveFailed)
    assert source.read_bytes() == b"sound"
    assert files_below(archive) == []


def test_a_stop_ends_a_copy_half_way_and_leaves_the_file_in_the_inbox(
    inbox: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = inbox / "a.wav"
    source.write_bytes(os.urandom(10_000))
    archive = elsewhere / "archive"
    mine = mover_to(archive, inbox)
    write = mover._write

    def write_and_stop(file: int, block: bytes) -> None:
        write(file, block)
        mine.stop.set()

    monkeypatch.setattr(mover, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(mover, "_write", write_and_stop)
    assert mine.move([a_move(source, archive / "a.wav")]) == []
    assert source.stat().st_size == 10_000
    assert files_below(archive) == []


def test_a_file_whose_content_is_not_what_was_heard_is_not_deleted(
    inbox: Path, elsewhere: Path
) -> None:
    source = inbox / "a.wav"
    source.write_bytes(b"rotten")
    archive = elsewhere / "archive"
    move = a_move(source, archive / "a.wav", digest="0" * 64)
    [result] = mover_to(archive, inbox).move([move])
    assert isinstance(result, MoveFailed)
    assert source.read_bytes() == b"rotten"
    assert files_below(archive) == []


def test_a_link_at_the_place_is_not_taken_for_the_file(inbox: Path, tmp_path: Path) -> None:
    source, archive = inbox / "a.wav", tmp_path / "archive"
    source.write_bytes(b"sound")
    archive.mkdir()
    (archive / "a.wav").symlink_to(source)
    [result] = mover_to(archive, inbox).move([a_move(source, archive / "a.wav")])
    assert isinstance(result, Redirected)
    assert result.place == os.fsencode(archive / "a.1.wav")
    assert source.read_bytes() == b"sound"


def test_an_archive_that_leads_back_into_the_inbox_deletes_nothing(
    inbox: Path, tmp_path: Path
) -> None:
    source, archive = inbox / "a.wav", tmp_path / "archive"
    source.write_bytes(b"sound")
    archive.mkdir()
    (archive / "inbox").symlink_to(inbox)
    [result] = mover_to(archive, inbox).move([a_move(source, archive / "inbox" / "a.wav")])
    assert isinstance(result, MoveFailed)
    assert "leads back into the inbox" in result.reason
    assert source.read_bytes() == b"sound"


def test_a_link_from_the_archive_to_a_folder_of_the_inbox_does_not_send_files_round(
    inbox: Path, tmp_path: Path
) -> None:
    source, archive = inbox / "a.wav", tmp_path / "archive"
    source.write_bytes(b"sound")
    (inbox / "sub").mkdir()
    archive.mkdir()
    (archive / "inbox").symlink_to(inbox / "sub")
    place = archive / "inbox" / "deeper" / "a.wav"
    [result] = mover_to(archive, inbox).move([a_move(source, place)])
    assert isinstance(result, MoveFailed)
    assert "leads back into the inbox" in result.reason
    assert files_below(inbox) == ["a.wav"]
    assert list((inbox / "sub").iterdir()) == []


def exchange(source: Path) -> None:
    aside = source.parent.parent / "new"
    aside.write_bytes(b"old and new")
    aside.replace(source)


def write_on(source: Path) -> None:
    with source.open("ab") as file:
        file.write(b" and new")


@pytest.mark.parametrize("change", [exchange, write_on])
def test_a_file_changed_in_the_moment_of_the_move_goes_back(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None]
) -> None:
    source, archive = inbox / "a.wav", tmp_path / "archive"
    source.write_bytes(b"old")
    move = a_move(source, archive / "a.wav")
    rename = mover.rename_no_replace

    def change_first(there: FolderEntry, target: FolderEntry) -> None:
        if there.path == move.source:
            change(source)
        rename(there, target)

    monkeypatch.setattr(mover, "rename_no_replace", change_first)
    assert mover_to(archive, inbox).move([move]) == [MoveDropped(move)]
    assert source.read_bytes() == b"old and new"
    assert files_below(archive) == []


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file outside the inbox under the name of one that is to be moved, `card/a.wav`."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a.wav").write_bytes(b"secret")
    return tmp_path / "secret" / "a.wav"


def move_of(source: Path, archive: Path) -> Move:
    inbox = source.parents[1]
    path = os.fsencode(source.relative_to(inbox))
    return a_move(source, archive / "inbox" / "card" / "a.wav", inbox=inbox, path=path)


@pytest.mark.parametrize("where", ["same file system", "another file system"])
def test_a_folder_that_became_a_link_is_not_archived_from(
    inbox: Path, tmp_path: Path, secret: Path, where: str, request: pytest.FixtureRequest
) -> None:
    archive = tmp_path / "archive"
    if where == "another file system":
        archive = request.getfixturevalue("elsewhere") / "archive"
    folder = inbox / "card"
    folder.mkdir()
    (folder / "a.wav").write_bytes(b"sound")
    move = move_of(folder / "a.wav", archive)
    away = put_link_in_place_of(folder)  # with the very file that was recorded
    assert mover_to(archive, inbox).move([move]) == [MoveDropped(move)]
    assert (away / "a.wav").read_bytes() == b"sound"
    assert files_below(archive) == []


@pytest.mark.parametrize("where", ["same file system", "another file system"])
@pytest.mark.parametrize("is_changed", [False, True])
def test_a_folder_exchanged_in_the_moment_of_the_move_lets_no_other_file_be_moved(
    inbox: Path,
    tmp_path: Path,
    secret: Path,
    where: str,
    is_changed: bool,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    archive = tmp_path / "archive"
    if where == "another file system":
        archive = request.getfixturevalue("elsewhere") / "archive"
    folder, away = inbox / "card", tmp_path / "away"
    folder.mkdir()
    (folder / "a.wav").write_bytes(b"sound")
    move, rename = move_of(folder / "a.wav", archive), mover.rename_no_replace

    def exchange_first(there: FolderEntry, target: FolderEntry) -> None:
        if not away.exists():
            if is_changed:
                write_on(folder / "a.wav")
            folder.rename(away)
            folder.symlink_to(secret.parent)
        rename(there, target)

    monkeypatch.setattr(mover, "rename_no_replace", exchange_first)
    mover_to(archive, inbox).move([move])
    assert secret.read_bytes() == b"secret"
    assert (away / "a.wav").exists() == is_changed
    assert b"secret" not in [path.read_bytes() for path in archive.rglob("*.wav")]


def test_the_longest_name_finds_a_free_one_beside_it(inbox: Path, tmp_path: Path) -> None:
    name = "x" * 251 + ".wav"
    source, archive = inbox / name, tmp_path / "archive"
    source.write_bytes(b"sound")
    archive.mkdir()
    (archive / name).write_bytes(b"other")
    [result] = mover_to(archive, inbox).move([a_move(source, archive / name)])
    assert isinstance(result, Redirected)
    assert len(os.path.basename(result.place)) == 255
    assert result.place.endswith(b"xx.1.wav")


EntryAt = Callable[[Path], FolderEntry]


@pytest.fixture
def entry() -> Iterator[EntryAt]:
    with ExitStack() as handles:

        def open_entry(path: Path) -> FolderEntry:
            handle = os.open(path.parent, os.O_RDONLY)
            handles.callback(os.close, handle)
            return FolderEntry(handle, bytes(path))

        yield open_entry


def test_a_rename_refuses_what_lies_at_the_target(tmp_path: Path, entry: EntryAt) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    with pytest.raises(FileExistsError):
        rename.rename_no_replace(entry(tmp_path / "a"), entry(tmp_path / "b"))
    assert (tmp_path / "b").read_text() == "b"


def test_a_rename_refuses_it_also_where_the_system_cannot(
    tmp_path: Path, entry: EntryAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rename, "_renameat2", None)
    test_a_rename_refuses_what_lies_at_the_target(tmp_path, entry)
    rename.rename_no_replace(entry(tmp_path / "a"), entry(tmp_path / "c"))
    assert (tmp_path / "c").read_text() == "a"
