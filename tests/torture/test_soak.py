"""Files and faults for a long time: nothing grows after the daemon has warmed up."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from oracle import is_healthy, judge, require
from running_house import RunningHouse
from sounds import digest, not_audio, wav

from storage.database.sqlite import driver

MAX_GROWTH_MIB = 40.0  # what a short run may differ by; a leak of 1 kB a file shows at 40,000


class Figures(NamedTuple):
    """Of the daemon, its memory with the process that scores, and of the home that they work in."""

    files: int
    seconds: float
    rss_mib: float
    pss_mib: float
    descriptors: int
    threads: int
    children: int
    wal_mib: float
    temporary: int


def figures(house: RunningHouse, files: int, seconds: float) -> Figures:
    pid = house.daemon.pid
    memory = [smaps(each) for each in (pid, *house.scorers())]
    wal = house.home.ledger_file.with_name("clfd.db-wal")
    return Figures(
        files,
        round(seconds, 1),
        sum(int(each["Rss"].split()[0]) for each in memory) / 1024,
        sum(int(each["Pss"].split()[0]) for each in memory) / 1024,
        len(os.listdir(f"/proc/{pid}/fd")),
        len(os.listdir(f"/proc/{pid}/task")),
        len(house.children()),
        wal.stat().st_size / 2**20 if wal.exists() else 0.0,
        sum(name.endswith(".new") for name in os.listdir(house.home.root)),
    )


def smaps(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return dict(line.split(":", 1) for line in lines)


def show(table: list[Figures]) -> None:
    print("\n" + "".join(f"{name:>13}" for name in Figures._fields))
    for row in table:
        print("".join(f"{value:>13.1f}" for value in row))


def add_files(house: RunningHouse, first: int, n_files: int, bad: dict[str, set[str]]) -> None:
    folder = house.home.inbox / f"round {first}"
    folder.mkdir()
    for number in range(first, first + n_files):
        content = wav(number)
        if number % 50 == 0:
            content = not_audio(number)
            bad[digest(content)] = {"not_audio"}
        (folder / f"{number}.wav").write_bytes(content)


def make_trouble(house: RunningHouse, chance: random.Random) -> None:
    """A decode worker dies, the ledger is locked for a second, the daemon freezes for a moment."""
    workers = house.decode_workers()
    if workers:
        os.kill(chance.choice(workers), signal.SIGKILL)
    with closing(
        driver().connect(house.home.ledger_file, isolation_level=None, timeout=30)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        time.sleep(1)
    os.kill(house.daemon.pid, signal.SIGSTOP)
    time.sleep(0.5)
    os.kill(house.daemon.pid, signal.SIGCONT)


def test_nothing_grows_while_files_and_faults_come(
    make_running: Callable[..., RunningHouse],
    checkpoint_file: Path,
    second_checkpoint: Path,
    chance: random.Random,
    size: Callable[[str, int], int],
    poison: Callable[[RunningHouse], None],
) -> None:
    n_rounds = size("SOAK_ROUNDS", 12)
    each = size("SOAK_FILES", 6000) // n_rounds
    house = make_running(CLFD_ENGINE__DECODE_TIMEOUT_SECONDS="2")
    poison(house)
    house.start()
    table: list[Figures] = []
    bad: dict[str, set[str]] = {"": {"timeout"}}  # nothing of them was read
    for turn in range(n_rounds):
        began = time.monotonic()
        add_files(house, turn * each, each, bad)
        (house.home.inbox / f"spinning {turn}.wav").write_bytes(wav(-turn - 1))
        checkpoint = (checkpoint_file, second_checkpoint)[turn % 2]
        house.publish(checkpoint, f"20990101T000000Z-{turn:08x}")
        make_trouble(house, chance)
        total = (turn + 1) * (each + 1)
        house.wait_until(lambda: answered(house) == total, 120 + each / 10)  # noqa: B023
        table.append(figures(house, total, time.monotonic() - began))
    show(table)
    assert is_healthy(house.home, house.daemon.pid) is None
    assert house.stop() == 0
    require(judge(house.home, may_fail=bad))
    hold_still(table[n_rounds // 2], table[-1])


def answered(house: RunningHouse) -> int:
    status = house.status()
    return sum(int(str(status.get(key, 0))) for key in ("done", "failed"))


def hold_still(warm: Figures, last: Figures) -> None:
    assert last.rss_mib < warm.rss_mib + MAX_GROWTH_MIB
    assert last.pss_mib < warm.pss_mib + MAX_GROWTH_MIB
    assert last.descriptors <= warm.descriptors + 4
    assert last.threads <= warm.threads + 2
    assert last.children <= warm.children
    assert last.wal_mib < 64
    assert last.temporary <= 1  # a status file that is being written
