"""Killed at the n-th durable step, or refused by the kernel there: starting again mends it.

strace kills the daemon at the n-th fsync, rename, unlink, open or write of its ledger and home.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from oracle import judge, require
from running_house import RunningHouse
from sounds import digest, not_audio, wav

Size = Callable[[str, int], int]

N_FILES = 8
# What one run over a new home comes to, measured with strace -c: 17 fsync, 18 open, 4 rename,
# 9 unlink, 198 pwrite64. SQLite as Debian builds it calls fdatasync in place of fsync.
STEPS = {
    "fsync,fdatasync": (1, 2, 3, 5, 8, 12, 16, 20),
    "rename,renameat,renameat2": (1, 2, 3),
    "unlink,unlinkat": (1, 4, 8),
    "openat": (1, 3, 7, 11),
    "pwrite64": (1, 7, 20, 40, 60),
}
LAST_STEP = {  # beyond which a run has ended in any case
    "fsync,fdatasync": 20,
    "rename,renameat,renameat2": 6,
    "unlink,unlinkat": 12,
    "openat": 24,
}
REFUSALS = {
    "fsync,fdatasync": ("EIO", (1, 5, 9)),
    "pwrite64": ("ENOSPC", (1, 15, 40)),
    "openat": ("EMFILE", (2, 6)),
}

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


def under_strace(house: RunningHouse, calls: str, what: str, everywhere: bool = False) -> list[str]:
    """A command that runs what follows with `what` done to it at one of these system calls.

    Without --seccomp-bpf, under which strace 6.1 injects nothing.
    """
    root = house.home.root
    ledger = [house.home.ledger_file, house.home.ledger_file.with_name("clfd.db.new")]
    files = [f"{file}{end}" for file in ledger for end in ("", "-wal", "-shm")]
    files += [str(root / ".status.json.new"), str(house.home.lock_file), str(root)]
    paths = [] if everywhere else [word for file in files for word in ("-P", file)]
    return [
        *("strace", "-D", "-f", "-qq", "-o", "/dev/null"),
        *("-e", f"trace={calls}", "-e", f"inject={calls}:{what}", *paths),
    ]


def steps(calls: str, n_steps: int) -> Iterator[int]:
    """Those of STEPS, or with TORTURE_STEPS=60 every one of them up to the sixtieth."""
    if n_steps:
        yield from range(1, min(n_steps, LAST_STEP.get(calls, n_steps)) + 1)
    else:
        yield from STEPS[calls]


def fill(house: RunningHouse, first: int) -> None:
    for number in range(first, first + N_FILES - 1):
        (house.home.inbox / f"{number}.wav").write_bytes(wav(number))
    (house.home.inbox / f"{first}.bad.wav").write_bytes(not_audio(first))


def ends(house: RunningHouse, *, prefix: list[str]) -> int:
    house.launch("--once", prefix=prefix)
    return house.daemon.wait(120)


def judge_steps(house: RunningHouse, numbers: list[int]) -> None:
    bad = {digest(not_audio(number)): {"not_audio"} for number in numbers}
    require(judge(house.home, may_fail=bad, must_fail=bad.keys()))


@pytest.mark.parametrize("calls", STEPS)
def test_a_kill_at_any_durable_step_is_mended_by_the_next_start(
    calls: str, make_running: Callable[..., RunningHouse], size: Size
) -> None:
    killed = finished = 0
    for step in steps(calls, size("STEPS", 0)):
        # Every other time the ledger itself is new.
        if step % 2 or not killed:
            house, numbers = make_running(f"home-{step}"), []
        first = step * N_FILES
        fill(house, first)
        numbers.append(first)
        code = ends(house, prefix=under_strace(house, calls, f"signal=KILL:when={step}"))
        assert code in (-signal.SIGKILL, 0), house.last_words()
        killed, finished = killed + (code != 0), finished + (code == 0)
        assert ends(house, prefix=[]) == 0, f"after {calls} {step}: {house.last_words()}"
        judge_steps(house, numbers)
    print(f"\nkilled at {killed} steps of {calls}; {finished} runs ended before their step")
    assert killed


@pytest.mark.parametrize("calls", REFUSALS)
@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
def test_a_refusal_by_the_kernel_is_told_and_mended(
    calls: str, for_ever: bool, make_running: Callable[..., RunningHouse]
) -> None:
    error, when = REFUSALS[calls]
    for step in when:
        house = make_running(f"home-{step}")
        fill(house, step)
        what = f"error={error}:when={step}{'+' if for_ever else ''}"
        house.launch("--once", prefix=under_strace(house, calls, what))
        code = told_or_ended(house)
        print(f"\n{calls} {what}: {code}; {house.last_words(2)}")
        assert ends(house, prefix=[]) == 0, f"after {calls} {what}: {house.last_words()}"
        judge_steps(house, [step])


def told_or_ended(house: RunningHouse) -> str:
    """Either it ends, well or with one line, or it goes on and says what is wrong."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        code = house.daemon.poll()
        if code is not None:
            if code != 0:
                last = house.last_words(1).splitlines()[-1]
                assert last.startswith("clfd: "), house.last_words()
                assert "Traceback" not in house.last_words(50), house.last_words(50)
            assert code in (0, 1, 78), house.last_words()
            return f"exit {code}"
        if " ERROR " in house.last_words(5) and time.monotonic() > end - 30:
            house.daemon.kill()
            house.daemon.wait()
            return "went on, and told"
        time.sleep(0.1)
    raise AssertionError(f"neither ended nor told: {house.status()}\n{house.last_words()}")


@pytest.mark.parametrize(
    ("calls", "error"),
    [("inotify_add_watch", "ENOSPC"), ("inotify_init1,inotify_init", "EMFILE")],
)
def test_without_file_events_scans_find_everything(
    calls: str, error: str, make_running: Callable[..., RunningHouse]
) -> None:
    house = make_running(CLFD_INTAKE__SCAN_SECONDS="1")
    house.start(prefix=under_strace(house, calls, f"error={error}:when=1+", everywhere=True))
    fill(house, 0)
    house.wait_for_rows(N_FILES)
    assert "scans (no file events: inotify" in str(house.status()["watching"])
    assert house.stop() == 0
    judge_steps(house, [0])


def test_a_watch_limit_met_later_loses_nothing(make_running: Callable[..., RunningHouse]) -> None:
    """watchdog keeps silent when a new folder cannot be watched."""
    house = make_running(CLFD_INTAKE__SCAN_SECONDS="1")
    what = "error=ENOSPC:when=2+"
    house.start(prefix=under_strace(house, "inotify_add_watch", what, everywhere=True))
    for folder in range(4):
        path = house.home.inbox / f"card {folder}"
        path.mkdir()
        (path / "a.wav").write_bytes(wav(folder))
    house.wait_until(lambda: list(house.states().values()) == ["done"] * 4)
    assert house.stop() == 0
    require(judge(house.home))


def test_running_out_of_descriptors_for_a_while_costs_no_file(
    make_running: Callable[..., RunningHouse], tmp_path: Path
) -> None:
    house = make_running(CLFD_INTAKE__SCAN_SECONDS="1")
    fill(house, 0)
    prefix = under_strace(house, "openat", "error=EMFILE:when=400..460", everywhere=True)
    house.launch("--once", prefix=prefix)
    code = told_or_ended(house)
    print(f"\nopenat EMFILE: {code}; {house.last_words(2)}")
    assert ends(house, prefix=[]) == 0, house.last_words()
    judge_steps(house, [0])
    assert os.listdir(house.home.inbox)
