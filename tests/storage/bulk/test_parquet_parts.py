"""Parts are whole or not there, and ids are the same wherever a file is listed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from storage.bulk.parquet_parts import (
    MANIFEST,
    ListedFile,
    file_id,
    is_in,
    part_writer,
    read_ids,
    write_part,
)
from storage.errors import StorageError

FILE = ListedFile(7, "/mnt/archive", b"a.wav", 100, "100:5")


def test_a_part_whose_writing_failed_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), part_writer(tmp_path / "part.parquet", MANIFEST) as write:
        write([FILE._asdict()])
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"cannot write .*: No space left on device; check"):
        write_part(tmp_path / "part.parquet", MANIFEST, [FILE._asdict()])
    assert list(tmp_path.iterdir()) == []


def test_an_id_is_of_root_path_and_version(tmp_path: Path) -> None:
    about = [("/a", b"b/c.wav", "1:2"), ("/a/b", b"c.wav", "1:2"), ("/a", b"b/c.wav", "1:3")]
    ids = [file_id(*one) for one in about]
    assert ids == [file_id(*one) for one in about]
    assert len(set(ids)) == 3
    assert all(0 <= number < 2**63 for number in ids)


def test_ids_are_found_among_none_and_among_some() -> None:
    ids = np.array([5, 1, 9, 3])
    assert not is_in(np.array([], np.int64), ids).any()
    assert is_in(np.array([1, 3, 4]), ids).tolist() == [False, True, False, True]


def test_ids_are_read_of_all_parts(tmp_path: Path) -> None:
    parts = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    for number, part in enumerate(parts):
        write_part(part, MANIFEST, [FILE._replace(id=number)._asdict()])
    assert read_ids(parts).tolist() == [0, 1]
    assert read_ids([]).tolist() == []
