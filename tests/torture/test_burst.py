"""Very many files at once, with a kernel queue too short for them, and with poison among them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from oracle import is_healthy, judge, require
from running_house import RunningHouse
from sounds import wav

Size = Callable[[str, int], int]
MakeRunning = Callable[..., RunningHouse]

QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")


@contextmanager
def short_event_queue(n_events: int) -> Iterator[None]:
    """For instances made meanwhile; skips where the limit may not be changed."""
    before = QUEUE.read_text()
    try:
        QUEUE.write_text(str(n_events))
    except OSError:
        pytest.skip("needs the right to change fs.inotify.max_queued_events")
    try:
        yield
    finally:
        QUEUE.write_text(before)


def prepare(folder: Path, n_files: int) -> None:
    folder.mkdir()
    for number in range(n_files):
        (folder / f"{number}.wav").write_bytes(wav(number))


def counts(house: RunningHouse) -> dict[str, int]:
    status = house.status()
    return {key: int(str(status.get(key, 0))) for key in ("pending", "done", "failed")}


def test_a_burst_that_overflows_the_event_queue_is_found_whole(
    make_running: MakeRunning, tmp_path: Path, size: Size
) -> None:
    n_files = size("BURST", 20_000)
    house = make_running(CLFD_INTAKE__SCAN_SECONDS="3600")  # no timer helps
    prepare(tmp_path / "burst", n_files)
    with short_event_queue(64):
        house.start()
    os.kill(house.daemon.pid, signal.SIGSTOP)  # nobody reads the queue
    began = time.monotonic()
    for entry in os.scandir(tmp_path / "burst"):
        os.rename(entry.path, house.home.inbox / entry.name)
    renamed = time.monotonic()
    os.kill(house.daemon.pid, signal.SIGCONT)
    house.wait_until(lambda: sum(counts(house).values()) == n_files, 30 + n_files / 100)
    found = time.monotonic()
    house.wait_until(lambda: counts(house)["done"] == n_files, 30 + n_files / 20)
    done = time.monotonic()
    assert is_healthy(house.home, house.daemon.pid) is None
    assert house.stop() == 0
    print(
        f"\n{n_files} files renamed in {renamed - began:.1f} s, all found {found - renamed:.1f} s"
        f" after the last, all done {done - renamed:.1f} s after it"
        f" ({n_files / (done - renamed):.0f} files/s)"
    )
    require(judge(house.home, may_fail={}))


def seconds_for(house: RunningHouse, n_files: int, bad: dict[str, bytes]) -> float:
    """How long the good ones take; returns when the bad ones have failed, too."""
    prepare(house.home.root.parent / f"{house.home.root.name}-files", n_files)
    house.start()
    began = time.monotonic()
    for name, content in bad.items():
        (house.home.inbox / name).write_bytes(content)
    (house.home.root.parent / f"{house.home.root.name}-files").rename(house.home.inbox / "card")
    house.wait_until(lambda: counts(house)["done"] == n_files, 60 + n_files / 20)
    seconds = time.monotonic() - began
    house.wait_until(lambda: counts(house)["failed"] == len(bad), 60)
    assert house.stop() == 0
    return seconds


def test_poison_among_thousands_costs_only_itself(
    make_running: MakeRunning, size: Size, poison: Callable[[RunningHouse], None]
) -> None:
    """One file kills each worker that opens it, one holds it until its deadline."""
    n_files = size("POISONED", 3000)
    settings = {
        "CLFD_INTAKE__MAX_ATTEMPTS": "2",
        "CLFD_ENGINE__DECODE_TIMEOUT_SECONDS": "3",
    }
    clean, poisoned = make_running("clean", **settings), make_running("poisoned", **settings)
    for house in (clean, poisoned):
        poison(house)
    without = seconds_for(clean, n_files, {})
    with_it = seconds_for(poisoned, n_files, {"poison.wav": wav(-1), "spinning.wav": wav(-2)})
    verdict = judge(poisoned.home)
    print(
        f"\n{n_files} files: {without:.1f} s without, {with_it:.1f} s with poison"
        f" (ratio {with_it / without:.2f}); {dict(verdict.states)} {dict(verdict.kinds)}"
    )
    require(verdict)
    assert dict(verdict.kinds) == {"worker_died": 1, "timeout": 1}
    assert verdict.states["done"] == n_files
    assert with_it < 1.5 * without + 10
