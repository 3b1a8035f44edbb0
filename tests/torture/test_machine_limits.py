"""A real daemon on a machine that runs short of something, and among files that never end."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from oracle import judge, require
from running_house import RunningHouse
from sounds import wav

MakeRunning = Callable[..., RunningHouse]
Write = Callable[..., Path]

WITH_OWN_MOUNTS = ("unshare", "--mount")
needs_mounts = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare"
)


def drop(house: RunningHouse, number: int) -> None:
    (house.home.inbox / f"{number}.wav").write_bytes(wav(number))


def kill_workers(house: RunningHouse) -> None:
    for pid in house.decode_workers():
        os.kill(pid, signal.SIGKILL)


def lacks_workers(house: RunningHouse) -> bool:
    return "this machine cannot decode: decode workers" in str(house.status().get("faults"))


def run_beside(house: RunningHouse, *command: str) -> None:
    """With the mounts that the daemon has."""
    subprocess.run(["nsenter", f"--mount=/proc/{house.daemon.pid}/ns/mnt", *command], check=True)


@needs_mounts
def test_a_shared_memory_folder_that_takes_nothing_is_told_and_waited_for(
    make_running: MakeRunning,
) -> None:
    house = make_running()
    house.start(prefix=WITH_OWN_MOUNTS)
    drop(house, 1)
    house.wait_for_rows(1)
    # The locks of a pool of workers lie there.
    run_beside(house, "mount", "-t", "tmpfs", "-o", "ro", "tmpfs", "/dev/shm")
    kill_workers(house)
    drop(house, 2)
    house.wait_until(lambda: lacks_workers(house))
    assert house.states()["2.wav"] == "pending"
    run_beside(house, "umount", "/dev/shm")
    house.wait_for_rows(2)
    house.wait_until(lambda: not lacks_workers(house))
    assert house.stop() == 0
    require(judge(house.home, may_fail={}))


def test_a_daemon_out_of_descriptors_fails_no_file(make_running: MakeRunning) -> None:
    house = make_running()
    house.start()
    drop(house, 1)
    house.wait_for_rows(1)
    pid = house.daemon.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    n_open = len(os.listdir(f"/proc/{pid}/fd"))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (n_open + 2, before[1]))
    kill_workers(house)
    for number in range(2, 10):
        drop(house, number)
    house.wait_until(lambda: "Too many open files" in house.last_words(50) or lacks_workers(house))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    house.wait_for_rows(9)
    assert set(house.states().values()) == {"done"}
    assert house.stop() == 0
    require(judge(house.home, may_fail={}))


def test_files_that_take_hours_to_read_hold_up_no_others(
    make_running: MakeRunning, audio_file: Write
) -> None:
    house = make_running(CLFD_ENGINE__DECODE_WORKERS="1")
    house.start()
    for number in range(4):
        (house.home.inbox / f"zeros{number}.wav").touch()
        os.truncate(house.home.inbox / f"zeros{number}.wav", 4 * 10**12)
    for number in range(3):
        target = house.home.inbox / f"hole{number}.flac"
        shutil.copyfile(audio_file("hole.flac", subtype="PCM_16"), target)
        os.truncate(target, 2**36)
    house.wait_until(lambda: list(house.states().values()).count("failed") == 4)
    for number in range(20):
        drop(house, number)
    house.wait_until(lambda: list(house.states().values()).count("done") == 20)
    house.wait_until(lambda: bool(house.status()["slow"]))
    assert ".flac (68.7 GB) keeps a decode worker busy" in str(house.status()["faults"])
    assert house.stop(signal.SIGKILL) == -signal.SIGKILL
