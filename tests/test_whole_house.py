"""The whole house with real processes: the daemon, its events, its workers, its signals."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from storage.home import Home
from storage.ledger import open_ledger
from storage.settings import load_settings
from storage.shelf import Shelf

DEADLINE_SECONDS = 60
NEW = "20990101T000000Z-00000002"

Samples = Callable[..., np.ndarray]


class RunningHouse:
    """A home with a daemon process that serves it."""

    def __init__(self, root: Path, checkpoint_file: Path) -> None:
        self.home = Home(root)
        self.home.create()
        self.publish(checkpoint_file, checkpoint_file.stem)
        self.environ = {k: v for k, v in os.environ.items() if not k.startswith("CLFD_")}
        self.environ |= {"CLFD_INTAKE__SETTLE_SECONDS": "0.3"}
        self.start()

    def start(self) -> None:
        self.daemon = subprocess.Popen(
            [sys.executable, "-m", "clfd", "--home", str(self.home.root), "run"],
            env=self.environ,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.wait_until(lambda: self.status().get("running") is True)

    def publish(self, checkpoint_file: Path, name: str) -> None:
        shelf = Shelf(self.home.checkpoints)
        shutil.copyfile(checkpoint_file, shelf.path(name))
        shelf.activate(name)

    def clfd(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "clfd", "--home", str(self.home.root), *arguments]
        return subprocess.run(
            command, env=self.environ, capture_output=True, text=True, check=False
        )

    def status(self) -> dict[str, object]:
        try:
            status = json.loads(self.home.status_file.read_text())
        except FileNotFoundError:
            return {}
        return status if status["pid"] == self.daemon.pid else {}

    def states(self) -> dict[str, str]:
        settings = load_settings(self.home, environ={})
        query = "SELECT path_text, state FROM recording"
        with (
            open_ledger(settings.database, "reader") as ledger,
            ledger.database.transaction() as connection,
        ):
            return {row[0]: row[1] for row in connection.exec_driver_sql(query)}

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Polls; a deadline is a failure, never a matter of luck."""
        tick, end = threading.Event(), time.monotonic() + DEADLINE_SECONDS
        while not is_so():
            assert self.daemon.poll() is None, self.daemon.communicate()[1]
            assert time.monotonic() < end, f"not within {DEADLINE_SECONDS} s: {self.status()}"
            tick.wait(0.1)

    def wait_for_rows(self, n: int) -> None:
        self.wait_until(lambda: len(self.states()) == n and "pending" not in self.states().values())

    def stop(self, how: int = signal.SIGTERM) -> int:
        self.daemon.send_signal(how)
        self.daemon.communicate(timeout=DEADLINE_SECONDS)
        return self.daemon.returncode


@pytest.fixture
def running(tmp_path: Path, checkpoint_file: Path) -> Iterator[RunningHouse]:
    house = RunningHouse(tmp_path / "home", checkpoint_file)
    yield house
    if house.daemon.poll() is None:
        house.daemon.kill()
        house.daemon.communicate()


def test_files_are_answered_as_they_come_and_the_checkpoint_changes_under_way(
    running: RunningHouse,
    checkpoint_file: Path,
    audio_file: Callable[..., Path],
    noise: Samples,
    tmp_path: Path,
) -> None:
    inbox = running.home.inbox
    for index in range(20):
        source = audio_file(f"{index}.wav", noise(seed=index))
        folder = inbox / f"card {index % 4}"
        folder.mkdir(exist_ok=True)
        if index % 2:
            shutil.copyfile(source, folder / source.name)
        else:
            source.rename(folder / source.name)
        if index == 10:
            running.wait_until(lambda: "done" in running.states().values())
            running.publish(checkpoint_file, NEW)
            running.wait_until(lambda: running.status()["served_checkpoint"] == NEW)
    running.wait_for_rows(20)
    answer = running.clfd("results", "--status", "all", "--limit", "0", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(answer.stdout)))
    assert len({row["path"] for row in rows}) == len(rows) == 20
    assert {row["status"] for row in rows} == {"done"}
    assert running.stop() == 0


def test_a_folder_moved_in_is_taken_with_all_its_files(
    running: RunningHouse, audio_file: Callable[..., Path], noise: Samples, tmp_path: Path
) -> None:
    card = tmp_path / "card" / "deep"
    card.mkdir(parents=True)
    for index in range(3):
        audio_file(f"card/deep/{index}.WAV", noise(seed=index))
    card.parent.rename(running.home.inbox / "card")
    running.wait_for_rows(3)


def test_a_second_daemon_is_refused_by_pid(running: RunningHouse) -> None:
    second = running.clfd("run")
    assert second.returncode == 78
    assert f"pid {running.daemon.pid}" in second.stderr


def test_after_a_kill_the_same_rows_come_out(
    running: RunningHouse, audio_file: Callable[..., Path], noise: Samples
) -> None:
    for index in range(30):
        audio_file(f"{index}.wav", noise(seed=index)).rename(running.home.inbox / f"{index}.wav")
    running.wait_until(lambda: "done" in running.states().values())
    assert running.stop(signal.SIGKILL) == -signal.SIGKILL
    running.start()
    running.wait_for_rows(30)
    assert set(running.states().values()) == {"done"}


def test_ctrl_c_stops_the_daemon_in_order(running: RunningHouse) -> None:
    assert running.stop(signal.SIGINT) == 0
    status = running.clfd("status", "--json")
    assert status.returncode == 3
    assert json.loads(status.stdout)["running"] is False
