"""A few long sequences against the real daemon: its events, its workers, its signals."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings, strategies
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test
from oracle import judge
from running_house import RunningHouse
from sequences import GOOD, FileSequence, World

from storage.database.sqlite import driver

DEADLINE_SECONDS = 150.0  # a file whose worker was killed twice waits for a minute


class RealSequence(FileSequence):
    rest_seconds = float("inf")  # how soon is for the other machine, whose clock is in our hand

    def __init__(self) -> None:
        super().__init__()
        self.house: RunningHouse | None = None
        self.kills = 0

    @initialize()
    def begin(self) -> None:
        self.copy_beginning()
        self.house = RunningHouse(
            self.folder / "home",
            self.world.good[GOOD[0]],
            {"CLFD_INTAKE__SCAN_SECONDS": "2", "CLFD_ENGINE__THREADS": "1"},
        )
        self.house.start()

    def teardown(self) -> None:
        try:
            if self.house is not None:
                self.end_well(self.house)
        finally:
            if self.house is not None:
                self.house.close()
            self.remove()

    def excused(self) -> tuple[str, ...]:
        return ("vanished", *(("worker_died", "given_up") if self.kills >= 3 else ()))

    @property
    def running(self) -> RunningHouse:
        assert self.house is not None
        return self.house

    @rule(seconds=strategies.floats(0.05, 1.5))
    def live(self, seconds: float) -> None:
        time.sleep(seconds)

    @precondition(lambda self: self.kills < 5)
    @rule(seconds=strategies.floats(0, 4))
    def kill(self, seconds: float) -> None:
        self.kills += 1
        os.killpg(self.running.daemon.pid, signal.SIGKILL)
        self.running.daemon.wait()
        self.running.launch()
        time.sleep(seconds)  # the next blow may meet a daemon that starts

    @rule()
    def kill_workers(self) -> None:
        self.kills += 1
        for pid in self.running.decode_workers()[:1]:
            os.kill(pid, signal.SIGKILL)

    @rule()
    def kill_scorer(self) -> None:
        self.running.wait_until(self.running.is_running)
        before = self._scorer_deaths()
        for pid in self.running.scorers():
            os.kill(pid, signal.SIGKILL)
        self.running.wait_until(lambda: self._scorer_deaths() > before)  # and another one serves

    def _scorer_deaths(self) -> int:
        figures: Any = self.running.status()["figures"]
        return int(figures["scoring_process_deaths"])

    @rule()
    def terminate(self) -> None:
        self.running.wait_until(self.running.is_running)
        assert self.running.stop() == 0, self.running.last_words()
        self.running.start()

    @rule(seconds=strategies.floats(0.1, 3))
    def freeze(self, seconds: float) -> None:
        self.running.daemon.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.running.daemon.send_signal(signal.SIGCONT)

    @rule(seconds=strategies.floats(0.1, 7))
    def lock_ledger(self, seconds: float) -> None:
        """Longer, sometimes, than the daemon waits in one go."""
        ledger = self.running.home.ledger_file
        with closing(driver().connect(ledger, isolation_level=None, timeout=30)) as other:
            other.execute("BEGIN IMMEDIATE")
            time.sleep(seconds)

    @rule(name=strategies.sampled_from(GOOD))
    def publish_good(self, name: str) -> None:
        self.running.publish(self.world.good[name], name)
        self.is_bad_active = False

    @precondition(lambda self: not self.is_bad_active)
    @rule()
    def publish_bad(self) -> None:
        self.published += 1
        self.is_bad_active = True
        self.running.publish(self.world.bad, f"20260202T000000Z-{self.published:08x}")

    def end_well(self, house: RunningHouse) -> None:
        house.wait_until(lambda: not judge(house.home).complaints, DEADLINE_SECONDS)
        house.wait_until(house.is_running)  # else it is ended before it knows the signal
        assert house.stop() == 0, house.last_words()
        self.nothing_is_answered_wrongly()
        verdict = judge(house.home, untouched=self.promise.there)
        assert not verdict.complaints, "\n".join(verdict.complaints)


def test_no_long_sequence_breaks_the_promise(
    tmp_path: Path,
    checkpoint_file: Path,
    second_checkpoint: Path,
    size: Callable[[str, int], int],
) -> None:
    RealSequence.world = World(tmp_path, [checkpoint_file, second_checkpoint])
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        RealSequence,
        settings=settings(
            max_examples=size("LONG_SEQUENCES", 3),
            stateful_step_count=60,
            deadline=None,
            print_blob=True,
            phases=[Phase.generate],  # to shrink takes an hour; the blob repeats it
            suppress_health_check=list(HealthCheck),
        ),
    )
