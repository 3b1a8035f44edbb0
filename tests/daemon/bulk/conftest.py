from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bulk_work import Begin, BulkWork

POISON = Path(__file__).parents[2] / "torture" / "poison"
# As `python -m clfd` with parts that are written at once, not after seconds.
QUICK_PARTS = "import daemon.bulk.score as s; s.MIN_PART_SECONDS = 0.2; import clfd; clfd.main()"


@pytest.fixture
def bulk(tmp_path: Path, checkpoint_file: Path) -> BulkWork:
    """An archive that is empty still, and a home with a checkpoint."""
    return BulkWork(tmp_path, checkpoint_file)


@pytest.fixture
def begin(bulk: BulkWork) -> Iterator[Begin]:
    """`begin("--shard", "1/2")`: `clfd bulk score` as a process; poison... kills its decoder."""
    begun: list[subprocess.Popen[str]] = []
    environ = os.environ | {"CLFD_ENGINE__THREADS": "1", "PYTHONPATH": str(POISON)}

    def begin(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", QUICK_PARTS, "--home", str(bulk.home.root), "bulk"]
        process = subprocess.Popen(
            [*command, "score", str(bulk.work.root), *words],
            env=environ,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        begun.append(process)
        return process

    yield begin
    for process in begun:
        process.kill()
        process.communicate()
