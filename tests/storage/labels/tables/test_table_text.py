"""Tables that people hand in: what is no table is read no further than a line."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest

from storage.labels.tables.table_text import MAX_LINE_CHARACTERS, open_table

ENDLESS = r"more than \d+ characters in line 1"


def lines_of(file: Path) -> list[str]:
    with open_table(file) as text:
        return list(text.lines)


def test_lines_keep_their_ends_and_the_digest_is_of_the_bytes(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    content = b"\xef\xbb\xbfpath,label\r\na,\xc3\xa9\nlast"
    file.write_bytes(content)
    with open_table(file) as text:
        assert list(text.lines) == ["path,label\r\n", "a,é\n", "last"]
        assert text.digest == hashlib.sha256(content).hexdigest()


def test_utf16_is_read_as_other_programs_write_it(tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes("a\tb\n".encode("utf-16"))
    assert lines_of(file) == ["a\tb\n"]


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/urandom", "/dev/null"])
def test_a_device_is_no_table(device: str) -> None:
    with pytest.raises(OSError, match="it is no file"):
        lines_of(Path(device))


def test_a_sparse_file_of_fifty_gigabytes_is_given_up_in_its_first_line(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.touch()
    os.truncate(file, 50 * 2**30)
    with pytest.raises(OSError, match=ENDLESS):
        lines_of(file)


def test_a_longest_line_is_read_and_one_character_more_is_not(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("x" * MAX_LINE_CHARACTERS)
    assert len(lines_of(file)[0]) == MAX_LINE_CHARACTERS
    file.write_text("x" * (MAX_LINE_CHARACTERS + 1))
    with pytest.raises(OSError, match=ENDLESS):
        lines_of(file)


def test_lines_without_end_have_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.labels.tables.table_text.MAX_LINES", 3)
    file = tmp_path / "labels.csv"
    file.write_text("x\n" * 4)
    with pytest.raises(OSError, match="more than 3 lines"):
        lines_of(file)


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    reading_end, writing_end = os.pipe()

    def write() -> None:
        with os.fdopen(writing_end, "w") as file:
            file.write("path,label\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert lines_of(Path(f"/dev/fd/{reading_end}")) == ["path,label\n"]
    finally:
        writer.join()
        os.close(reading_end)


def test_a_pipe_that_nobody_writes_into_makes_nobody_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert lines_of(tmp_path / "pipe") == []
