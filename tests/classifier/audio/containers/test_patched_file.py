from __future__ import annotations

import os
from pathlib import Path
from random import Random

from classifier.audio.containers.integrity import Patch, Patched

CONTENT = bytes(range(100))
PATCHES = [Patch(50, 0, b"inserted"), Patch(4, 4, b"over"), Patch(90, 10, b"")]
SEEN = CONTENT[:4] + b"over" + CONTENT[8:50] + b"inserted" + CONTENT[50:90]


def test_a_patched_file_reads_alike_from_every_place(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(CONTENT)
    random = Random(0)
    with (tmp_path / "x").open("rb") as file:
        patched = Patched(file.fileno(), PATCHES)
        assert patched.read() == SEEN
        assert patched.seek(0, os.SEEK_END) == len(SEEN)
        for _ in range(200):
            begin, n_bytes = random.randrange(120), random.randrange(120)
            patched.seek(begin)
            assert patched.read(n_bytes) == SEEN[begin : begin + n_bytes]
            assert patched.tell() == min(begin + n_bytes, max(begin, len(SEEN)))


def test_closing_it_leaves_the_file_open(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(CONTENT)
    with (tmp_path / "x").open("rb") as file:
        Patched(file.fileno(), PATCHES).close()
        assert file.read() == CONTENT
