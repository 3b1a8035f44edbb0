"""The whole house with real processes: the daemon, its events, its workers, its signals."""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from running_house import RunningHouse

NEW = "20990101T000000Z-00000002"

Samples = Callable[..., np.ndarray]


@pytest.fixture(scope="module")
def lasting(
    tmp_path_factory: pytest.TempPathFactory, checkpoint_file: Path
) -> Iterator[RunningHouse]:
    """One that tests share, which neither stop it nor count the files of others."""
    house = RunningHouse(tmp_path_factory.mktemp("lasting") / "home", checkpoint_file)
    house.start()
    yield house
    house.close()


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
    answer = running.typed("results", "--status", "all", "--limit", "0", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(answer.stdout)))
    assert len({row["path"] for row in rows}) == len(rows) == 20
    assert {row["status"] for row in rows} == {"done"}
    assert running.stop() == 0


def test_a_folder_moved_in_is_taken_with_all_its_files(
    lasting: RunningHouse, audio_file: Callable[..., Path], noise: Samples, tmp_path: Path
) -> None:
    card = tmp_path / "card" / "deep"
    card.mkdir(parents=True)
    for index in range(3):
        audio_file(f"card/deep/{index}.WAV", noise(seed=index))
    card.parent.rename(lasting.home.inbox / "card")
    lasting.wait_for_rows(3)


def test_a_second_daemon_is_refused_by_pid(lasting: RunningHouse) -> None:
    second = lasting.typed("run")
    assert second.exit_code == 78
    assert f"pid {lasting.daemon.pid}" in second.stderr


def test_ctrl_c_stops_the_daemon_in_order(running: RunningHouse) -> None:
    assert running.stop(signal.SIGINT) == 0
    status = running.typed("status", "--json")
    assert status.exit_code == 3
    assert json.loads(status.stdout)["running"] is False
