"""A hundred deaths while thousands of files arrive: no row is lost, none comes twice."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from oracle import Contents, is_healthy, judge, require
from running_house import RunningHouse
from sounds import digest, not_audio, wav

Size = Callable[[str, int], int]

MAX_ALIVE_SECONDS = 2.5  # of a daemon before it is killed again; some die while they start
DEADLINE_SECONDS = 300
QUIET_AFTER_SECONDS = 12


class Deliveries:
    """Files that come in by copy, rename and append, spread over the whole storm."""

    def __init__(self, inbox: Path, n_files: int, chance: random.Random) -> None:
        self._inbox, self._chance = inbox, random.Random(chance.random())
        self._aside = inbox.parent / "aside"
        self._aside.mkdir()
        self._n_files = n_files
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._deliver_all)
        self.delivered = 0
        self.contents: Contents = {}
        self.bad: dict[str, set[str]] = {}
        self.halves: dict[str, set[str]] = {}  # may look as if they had come to rest
        self.pause_seconds = 0.0

    def start(self, seconds: float) -> None:
        self.pause_seconds = seconds / self._n_files
        self._thread.start()

    def finish(self) -> None:
        """What is left comes all at once."""
        self._enough.set()
        self._thread.join()

    def _deliver_all(self) -> None:
        for number in range(self._n_files):
            self._deliver(number)
            self.delivered = number + 1
            if not self._enough.is_set():
                self._enough.wait(self.pause_seconds * self._chance.uniform(0, 2))

    def _deliver(self, number: int) -> None:
        content = self._content(number)
        folder = self._inbox / f"card {number % 7}"
        folder.mkdir(exist_ok=True)
        target = folder / f"{number}.wav"
        way = self._chance.choices(
            (self._copy, self._rename, self._append, self._replace), (30, 40, 20, 10)
        )[0]
        way(target, content)
        self.contents[os.fsencode(target.relative_to(self._inbox))] = digest(content)

    def _content(self, number: int) -> bytes:
        kind = self._chance.random()
        if kind < 0.03:
            content = not_audio(number)
            self.bad[digest(content)] = {"not_audio"}
            return content
        if kind < 0.06:
            return wav(
                self._chance.randrange(max(1, number))
            )  # a copy of another, or as good as new
        return wav(number, seconds=self._chance.choice((0.05, 0.5, 1.7)))

    def _copy(self, target: Path, content: bytes) -> None:
        with target.open("wb") as file:
            for begin in range(0, len(content), 4096):
                file.write(content[begin : begin + 4096])

    def _rename(self, target: Path, content: bytes) -> None:
        aside = self._aside / target.name
        aside.write_bytes(content)
        aside.rename(target)

    def _append(self, target: Path, content: bytes) -> None:
        """Half of it, a pause that may look like rest, the other half."""
        half = content[: len(content) // 2]
        target.write_bytes(half)
        self._enough.wait(self._chance.uniform(0, 0.4))
        self.halves[digest(half)] = {"truncated", "damaged", "not_audio", "no_audio", "empty"}
        with target.open("ab") as file:
            file.write(content[len(half) :])

    def _replace(self, target: Path, content: bytes) -> None:
        earlier = wav(-self._chance.randrange(2**31))
        self._rename(target, earlier)
        self._enough.wait(self._chance.uniform(0, 0.8))
        self._rename(target, content)


def test_a_storm_of_kills_loses_and_doubles_no_row(
    make_running: Callable[..., RunningHouse], chance: random.Random, size: Size
) -> None:
    n_kills, n_files = size("KILLS", 40), size("FILES", 2000)
    house = make_running()
    deliveries = Deliveries(house.home.inbox, n_files, chance)
    began = time.monotonic()
    house.launch()
    deliveries.start(seconds=4.0 * n_kills)
    deaths: Counter[str] = Counter()
    for _ in range(n_kills):
        deaths[strike(house, chance)] += 1
    deliveries.finish()
    since = time.monotonic()
    house.wait_until(lambda: is_quiet(house, since), DEADLINE_SECONDS)
    assert is_healthy(house.home, house.daemon.pid) is None
    assert house.stop() == 0
    verdict = judge(
        house.home,
        untouched=deliveries.contents,
        may_fail=deliveries.bad | deliveries.halves,
        must_fail=deliveries.bad.keys(),
    )
    print(
        f"{n_kills} kills {dict(deaths)} while {n_files} files arrived, in"
        f" {time.monotonic() - began:.0f} s: {verdict.lost} lost, {verdict.doubled} doubled,"
        f" {dict(verdict.states)}, failures {dict(verdict.kinds)}"
    )
    require(verdict)


def strike(house: RunningHouse, chance: random.Random) -> str:
    """One blow at a random moment; afterwards a daemon runs again, or starts."""
    time.sleep(chance.uniform(0, MAX_ALIVE_SECONDS))
    if chance.random() < 0.8:  # the others die while they start
        house.wait_until(house.is_running)
        time.sleep(chance.uniform(0, MAX_ALIVE_SECONDS / 2))
    blow = chance.choices(
        (kill_alone, kill_group, kill_worker, terminate, freeze), (30, 20, 20, 20, 10)
    )[0]
    blow(house, chance)
    return blow.__name__


def kill_alone(house: RunningHouse, _: random.Random) -> None:
    house.daemon.kill()
    house.daemon.wait()
    house.launch()


def kill_group(house: RunningHouse, _: random.Random) -> None:
    os.killpg(house.daemon.pid, signal.SIGKILL)
    house.daemon.wait()
    house.launch()


def kill_worker(house: RunningHouse, chance: random.Random) -> None:
    for pid in chance.sample(house.children(), k=min(1, len(house.children()))):
        os.kill(pid, signal.SIGKILL)


def terminate(house: RunningHouse, _: random.Random) -> None:
    """In order, unless Python had not come to our handler yet."""
    was_running = house.is_running()
    code = house.stop(signal.SIGTERM)
    assert code == 0 or (code == -signal.SIGTERM and not was_running), house.last_words()
    house.launch()


def freeze(house: RunningHouse, chance: random.Random) -> None:
    os.kill(house.daemon.pid, signal.SIGSTOP)
    time.sleep(chance.uniform(0.1, 2))
    os.kill(house.daemon.pid, signal.SIGCONT)


def is_quiet(house: RunningHouse, since: float) -> bool:
    """Nothing waits, nothing is queued, and there was time for two scans since the last file."""
    status = house.status()
    if not status or status["waiting"] or status["in_flight"] or status["pending"]:
        return False
    return time.monotonic() - since > QUIET_AFTER_SECONDS < float(str(status["uptime_s"]))
