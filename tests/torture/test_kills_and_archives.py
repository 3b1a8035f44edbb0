"""A daemon that is killed while it scores or archives, and one whose archive is away."""

from __future__ import annotations

import csv
import io
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
from running_house import RunningHouse

Samples = Callable[..., np.ndarray]


def test_after_a_kill_the_same_rows_come_out(
    running: RunningHouse, audio_file: Callable[..., Path], noise: Samples
) -> None:
    for index in range(30):
        audio_file(f"{index}.wav", noise(seed=index)).rename(running.home.inbox / f"{index}.wav")
    running.wait_until(lambda: "done" in running.states().values())
    assert running.stop(signal.SIGKILL) == -signal.SIGKILL
    assert "crashed or was killed" in running.clfd("status").stdout
    running.start()
    running.wait_for_rows(30)
    assert set(running.states().values()) == {"done"}


def test_after_kills_every_file_is_archived_once_and_found_by_its_row(
    running: RunningHouse, audio_file: Callable[..., Path], noise: Samples
) -> None:
    running.stop()
    running.environ["CLFD_INTAKE__ARCHIVE_DIR"] = "archive"
    for index in range(40):
        audio_file(f"{index}.wav", noise(seed=index)).rename(running.home.inbox / f"{index}.wav")
    archive = running.home.root / "archive" / "inbox"
    for enough in (1, 20, 30):
        running.start()
        running.wait_until(lambda n=enough: archive.is_dir() and len(os.listdir(archive)) >= n)
        running.stop(signal.SIGKILL)
    assert running.clfd("run", "--once").returncode == 0
    answer = running.clfd("results", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(answer.stdout)))
    assert sorted(row["archived_path"] for row in rows) == sorted(map(str, archive.iterdir()))
    assert len({row["path"] for row in rows}) == len(rows) == 40
    assert list(running.home.inbox.iterdir()) == []


def test_one_run_without_its_archive_ends_well_and_says_what_is_left(
    running: RunningHouse, audio_file: Callable[..., Path], tmp_path: Path
) -> None:
    running.stop()
    running.environ["CLFD_INTAKE__ARCHIVE_DIR"] = str(tmp_path / "not mounted")
    audio_file("a.wav").rename(running.home.inbox / "a.wav")
    run = running.clfd("run", "--once")
    assert run.returncode == 0
    assert "crashed" not in running.clfd("status").stdout
    assert "not mounted is missing" in run.stderr
    assert "the next run tries again" in run.stderr
    assert running.states() == {"a.wav": "done"}
