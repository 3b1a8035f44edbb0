"""Files that appear whole, and what a person's `-o` may name besides."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from storage.errors import StorageError
from storage.home.atomic_write import output_file, write_output


def test_an_output_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    file.write_bytes(b"old")
    with pytest.raises(RuntimeError), output_file(file) as handle:
        os.write(handle, b"half")
        raise RuntimeError
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out.csv"]


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
