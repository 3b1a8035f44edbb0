"""`clfd bulk score` is killed over and over, with bad files in its list, and with poison."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
from bulk_work import BulkWork, rows_in
from sounds import not_audio, wav

HERE = Path(__file__).parent
MAX_ALIVE_SECONDS = 3.0  # after the first part of a run, of which all take half a minute
SECONDS = 2.0  # of a sound, which is four clips
N_BAD = 5


def test_a_storm_of_kills_leaves_no_file_without_its_one_row(
    tmp_path: Path,
    checkpoint_file: Path,
    chance: random.Random,
    size: Callable[[str, int], int],
) -> None:
    n_kills, n_files = size("BULK_KILLS", 2), size("BULK_FILES", 12_000)
    bulk = BulkWork(tmp_path, checkpoint_file)
    for number in range(n_files - N_BAD - 1):
        if number % 1000 == 0:
            folder = bulk.archive / f"card {number // 1000}"
            folder.mkdir()
        (folder / f"{number}.wav").write_bytes(wav(number, SECONDS))
    for number in range(N_BAD):
        (folder / f"bad {number}.wav").write_bytes(not_audio(number))
    (folder / "poison.wav").write_bytes(wav(-1))
    bulk.list()
    began, lost = time.monotonic(), []
    for turn in range(n_kills):
        run = begin(bulk)
        n_before = len(bulk.work.output_parts())
        wait_for_part(bulk, n_before, run)
        time.sleep(chance.uniform(0, MAX_ALIVE_SECONDS))
        assert run.poll() is None, "it was done before it was killed; ask for more files"
        processes = psutil.Process(run.pid).children(recursive=True)
        if turn % 2:  # the one that scores first; its recordings go alone then
            for process in processes:
                if "classifier.inference.scoring_worker" in process.cmdline():
                    process.kill()
            time.sleep(chance.uniform(0, 3))
        run.kill()
        run.wait()
        assert psutil.wait_procs(processes, 20)[1] == []
        lost.append(len(rows_in(bulk.work.output_parts())))
    run = begin(bulk)
    assert run.wait() == 0
    result = bulk.typed("check")
    states = Counter(row["error_class"] for row in rows_in(bulk.work.output_parts()))
    print(f"{lost} rows after each kill, {time.monotonic() - began:.0f} s: {result.output.strip()}")
    assert result.exit_code == 0
    assert states == {None: n_files - N_BAD - 1, "not_audio": N_BAD, "worker_died": 1}


def begin(bulk: BulkWork) -> subprocess.Popen[bytes]:
    paths = (str(HERE / "poison"), os.environ.get("PYTHONPATH", ""))
    variables = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "CLFD_ENGINE__THREADS": "1"}
    command = [sys.executable, "-m", "clfd", "--home", str(bulk.home.root), "bulk", "score"]
    return subprocess.Popen([*command, str(bulk.work.root)], env=os.environ | variables)


def wait_for_part(bulk: BulkWork, n_before: int, run: subprocess.Popen[bytes]) -> None:
    while len(bulk.work.output_parts()) <= n_before and run.poll() is None:
        time.sleep(0.1)
