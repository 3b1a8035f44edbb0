"""The process that scores is killed over and over while files come and checkpoints change."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from oracle import contents, is_healthy, judge, require
from running_house import RunningHouse
from sounds import wav

MAX_ALIVE_SECONDS = 1.5  # of a process before it is killed
MAX_LOADING_SECONDS = 2.5  # of the next one, which some die in
LENGTHS = (0.05, 0.5, 1.7, 10.0)


def test_a_storm_on_the_process_that_scores_loses_and_doubles_no_row(
    make_running: Callable[..., RunningHouse],
    checkpoint_file: Path,
    second_checkpoint: Path,
    chance: random.Random,
    size: Callable[[str, int], int],
) -> None:
    n_kills, n_files = size("SCORER_KILLS", 16), size("SCORER_FILES", 4000)
    house = make_running(CLFD_ENGINE__COMPILE="never")
    house.start()
    began, each = time.monotonic(), n_files // n_kills
    for turn in range(n_kills):
        before = deaths(house)
        drop(house, turn * each, each)
        if turn % 3 == 1:
            checkpoint = (second_checkpoint, checkpoint_file)[turn // 3 % 2]
            house.publish(checkpoint, f"20990101T000000Z-{turn:08x}")
        killed = kill(house, chance.uniform(0, MAX_ALIVE_SECONDS))
        if turn % 2:
            house.wait_until(lambda killed=killed: house.scorers() not in ([], killed))
            kill(house, chance.uniform(0, MAX_LOADING_SECONDS))
        house.wait_until(lambda before=before: deaths(house) > before)
    house.wait_for_rows(each * n_kills)
    house.wait_until(lambda: house.status().get("in_flight") == 0)
    assert is_healthy(house.home, house.daemon.pid) is None
    status, processes = house.status(), psutil.Process(house.daemon.pid).children(recursive=True)
    assert len(house.scorers()) == 1
    assert house.stop() == 0
    assert psutil.wait_procs(processes, 10)[1] == []
    verdict = judge(house.home, untouched=contents(house.home.inbox), may_fail={})
    print(
        f"{n_kills + n_kills // 2} kills while {each * n_kills} files came in, in"
        f" {time.monotonic() - began:.0f} s: {dict(verdict.states)}, {status['figures']}"
    )
    require(verdict)


def drop(house: RunningHouse, first: int, n_files: int) -> None:
    folder = house.home.inbox / f"card {first}"
    aside = house.home.root / folder.name
    aside.mkdir()
    for number in range(first, first + n_files):
        content = wav(number, LENGTHS[number % len(LENGTHS)])
        (aside / f"{number}.wav").write_bytes(content)
    aside.rename(folder)


def kill(house: RunningHouse, seconds: float) -> list[int]:
    """After so many seconds; whom."""
    time.sleep(seconds)
    found = house.scorers()
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    return found


def deaths(house: RunningHouse) -> int:
    """As the daemon says in its status, which it does not write while it begins another."""
    return int(house.status()["figures"]["scoring_process_deaths"])  # type: ignore[index]
