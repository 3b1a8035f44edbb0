"""Files that appear whole, and what a person's `-o` may name besides."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from storage.errors import StorageError
from storage.home.atomic_write import (
    LEFTOVER_SECONDS,
    aside_path,
    output_file,
    remove_leftovers,
    write_output,
    write_whole,
)


def test_an_output_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    file.write_bytes(b"old")
    with pytest.raises(RuntimeError), output_file(file) as handle:
        os.write(handle, b"half")
        raise RuntimeError
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out.csv"]


@pytest.fixture
def gone_pid() -> int:
    with subprocess.Popen(["true"]) as process:
        return process.pid


def leave(folder: Path, name: str, pid: int, age_seconds: float = LEFTOVER_SECONDS + 1) -> Path:
    left = folder / f".{name}.{pid}.new"
    left.write_bytes(b"half")
    then = time.time() - age_seconds
    os.utime(left, (then, then))
    return left


def test_what_a_killed_process_prepared_goes_with_the_next_write_of_the_name(
    tmp_path: Path, gone_pid: int
) -> None:
    leave(tmp_path, "a.csv", gone_pid)
    other = leave(tmp_path, "b.csv", gone_pid)
    write_whole(tmp_path / "a.csv", b"whole")
    assert sorted(tmp_path.iterdir()) == [other, tmp_path / "a.csv"]


def test_what_killed_processes_prepared_in_a_folder_is_removed(
    tmp_path: Path, gone_pid: int
) -> None:
    leave(tmp_path, "a.csv", gone_pid)
    folder = tmp_path / f".report.{gone_pid}.new"
    folder.mkdir()
    (folder / "page").touch()
    os.utime(folder, (0, 0))
    remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == []


def test_what_a_living_process_prepares_or_may_be_another_machines_stays(
    tmp_path: Path, gone_pid: int
) -> None:
    kept = {leave(tmp_path, "a", os.getpid()), leave(tmp_path, "b", gone_pid, age_seconds=0)}
    kept |= {tmp_path / name for name in (".a.new", "a.1.new", ".a.0.new", ".a.new.txt")}
    for file in kept:
        file.touch(exist_ok=True)
    os.utime(aside_path(tmp_path / "a"), (0, 0))
    remove_leftovers(tmp_path)
    assert set(tmp_path.iterdir()) == kept


def test_a_link_stays_a_link_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "real.csv", tmp_path / "out.csv"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_output(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_link_to_nothing_makes_its_target(tmp_path: Path) -> None:
    (tmp_path / "out.csv").symlink_to("real.csv")
    write_output(tmp_path / "out.csv", b"new")
    assert (tmp_path / "out.csv").is_symlink()
    assert (tmp_path / "real.csv").read_bytes() == b"new"


def test_a_pipe_is_written_into_and_stays(tmp_path: Path) -> None:
    pipe, received = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    write_output(pipe, b"new")
    reader.join(30)
    assert received == [b"new"]
    assert pipe.is_fifo()


def test_what_an_open_descriptor_leads_to_is_written_into(tmp_path: Path) -> None:
    file = tmp_path / "gone"
    with file.open("w+b") as opened:
        file.unlink()
        write_output(Path(f"/proc/self/fd/{opened.fileno()}"), b"new")
        opened.seek(0)
        assert opened.read() == b"new"
    assert os.listdir(tmp_path) == []


def test_standard_output_in_a_file_keeps_what_was_written_before(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+b", buffering=0) as opened:
        opened.write(b"before ")
        (tmp_path / "stdout").symlink_to(f"/proc/self/fd/{opened.fileno()}")
        write_output(tmp_path / "stdout", b"new")
        opened.write(b" after")
    assert (tmp_path / "log").read_bytes() == b"before new after"


def test_links_in_a_circle_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(StorageError, match=r"cannot write .*: Too many levels"):
        write_output(tmp_path / "a", b"new")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device")
def test_a_device_is_written_into_and_stays(tmp_path: Path) -> None:
    device = tmp_path / "null"
    try:
        os.mknod(device, 0o020666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("no devices in this container")
    write_output(device, b"new")
    assert device.is_char_device()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot write .*nowhere/out\.csv: No such file"):
        write_output(tmp_path / "nowhere" / "out.csv", b"new")
