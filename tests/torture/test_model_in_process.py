"""Random sequences of what people, programs and fate do, against the model of the promise.

The whole daemon runs in this process with the clock in the test's hand, so that thousands of
sequences are tried; Hypothesis shrinks what fails and prints how to repeat it.
"""

from __future__ import annotations

import collections.abc
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from house import STEP_SECONDS, House, InlinePool, house_settings
from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import (
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from oracle import judge
from sequences import GOOD, FileSequence, World

import daemon.control.ledger_retry
import daemon.pipeline.window
import storage.database.sqlite
from classifier.audio.decode import Segment
from classifier.errors import DecodingError
from storage.database.sqlite import driver
from storage.errors import LedgerUnavailable
from storage.home.paths import Home

REST_SECONDS = 14.0  # a scan every 5 s, 2 s at rest, and the turns between
MAX_KILLS = 5  # after six deaths while it was read, a file may be given up


class Killed(BaseException):
    """kill -9, between two instructions."""


class LatePool(InlinePool):
    """Decodes when answers are asked for: files change between the claim and the reading."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: list[tuple[object, Segment]] = []

    @property
    def in_flight(self) -> int:
        return len(self._asked)

    def submit_all(self, stretches: collections.abc.Sequence[tuple[object, Segment]]) -> None:
        self._asked += stretches

    def collect(self) -> list[tuple[object, Any]]:
        taken, self._asked = self._asked[:2], self._asked[2:]
        return [(key, self._answer(stretch)) for key, stretch in taken]


class AtOnce:
    """An executor without a thread."""

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    def shutdown(self, **_: object) -> None: ...


def no_wait() -> Callable[..., bool]:
    """Nothing comes while one waits, as everything is done in this thread."""
    n_left = iter(range(1000))

    def wait(timeout: float | None = None) -> bool:
        assert next(n_left, None) is not None, "waits for what will not come"
        return False

    return wait


class Sequence(FileSequence):
    rest_seconds = REST_SECONDS

    def __init__(self) -> None:
        super().__init__()
        self.house: House | None = None
        self.kills = self.deaths = 0
        self.lock: Any = None
        self.now = 1000.0

    def teardown(self) -> None:
        try:
            if self.house is not None:
                self.end_well()
        finally:
            self.abandon()
            self.remove()

    # --- the daemon

    @initialize()
    def begin(self) -> None:
        self.copy_beginning()
        self.start()

    def start(self) -> None:
        home = Home(self.folder / "home")
        wanted = house_settings(home, **{"intake.scan_seconds": 5.0})
        self.house = house = House(home, wanted)
        house.now = self.now
        pool = LatePool()
        house.pool = house.window.pool = pool
        house.model._thread.shutdown()
        house.model._thread = AtOnce()  # type: ignore[assignment]
        house.service.start()

    def abandon(self) -> None:
        """As if the process were gone: nothing is written any more, its locks fall."""
        if self.house is not None:
            self.now = self.house.now
            self.house.ledger.close()
            self.house = None
        if self.lock is not None:
            self.lock.close()
            self.lock = None

    def turn(self) -> None:
        assert self.house is not None
        for _ in range(60):
            if not self.house.service.try_tick():
                break
        self.house.now += STEP_SECONDS

    @rule(seconds=strategies.sampled_from((0.5, 1.0, 3.0, 8.0, 20.0)))
    def live(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_SECONDS)):
            self.turn()
        if self.lock is None and not self.deaths:
            self.promise.attend(seconds)

    @rule()
    def tick_once(self) -> None:
        assert self.house is not None
        self.house.service.try_tick()

    @rule(seconds=strategies.sampled_from((1.0, 60.0, 4000.0)))
    def sleep(self, seconds: float) -> None:
        """SIGSTOP and SIGCONT: its clock goes on, it does not."""
        assert self.house is not None
        self.house.now += seconds

    @precondition(lambda self: self.kills < MAX_KILLS)
    @rule()
    def kill(self) -> None:
        self.kills += 1
        self.abandon()
        self.start()

    @precondition(lambda self: self.kills < MAX_KILLS)
    @rule(countdown=strategies.integers(0, 12), committed=strategies.booleans())
    def kill_at_a_commit(self, countdown: int, committed: bool) -> None:
        assert self.house is not None
        self.kills += 1
        with self.at_transaction(countdown, Killed(), committed):
            try:
                for _ in range(8):
                    self.turn()
            except Killed:
                pass
        self.abandon()
        self.start()

    @precondition(lambda self: self.lock is None)
    @rule()
    def terminate(self) -> None:
        assert self.house is not None
        self.house.wake.wait = no_wait()  # type: ignore[method-assign]
        self.house.service.request_stop()
        self.house.service.drain()
        self.abandon()
        self.start()

    @rule(countdown=strategies.integers(0, 12), n=strategies.integers(1, 5))
    def lock_at_a_transaction(self, countdown: int, n: int) -> None:
        error = LedgerUnavailable("the ledger cannot be used now: database is locked")
        with self.at_transaction(countdown, error, False, n):
            for _ in range(3):
                self.turn()

    @contextmanager
    def at_transaction(
        self, countdown: int, error: BaseException, committed: bool, n: int = 1
    ) -> Iterator[None]:
        """Raises at the transaction that many from now, and at those after it: `n` in all."""
        assert self.house is not None
        database = self.house.ledger.database
        genuine, left = database.transaction, [countdown]

        @contextmanager
        def transaction() -> Iterator[Any]:
            left[0] -= 1
            strikes = -n <= left[0] < 0
            if strikes and not committed:
                raise error
            with genuine() as connection:
                yield connection
            if strikes:
                raise error

        database.transaction = transaction  # type: ignore[method-assign]
        try:
            yield
        finally:
            del database.transaction

    @precondition(lambda self: self.lock is None)
    @rule()
    def lock_ledger(self) -> None:
        file = self.folder / "home" / "clfd.db"
        self.lock = driver().connect(file, isolation_level=None, timeout=0)
        self.lock.execute("BEGIN IMMEDIATE")

    @precondition(lambda self: self.lock is not None)
    @rule()
    def unlock_ledger(self) -> None:
        assert self.lock is not None
        self.lock.close()
        self.lock = None

    @precondition(lambda self: self.deaths < 1)
    @rule()
    def let_a_worker_die(self) -> None:
        assert self.house is not None
        self.deaths += 1
        self.house.pool.next_error = DecodingError("worker_died", "it died", transient=True)

    @precondition(lambda self: self.lock is None)
    @rule()
    def retry(self) -> None:
        assert self.house is not None
        self.house.ledger.requeue_failed()

    # --- checkpoints

    @rule(name=strategies.sampled_from(GOOD))
    def publish_good(self, name: str) -> None:
        assert self.house is not None
        self.house.publish(self.world.good[name], name)
        self.is_bad_active = False

    @precondition(lambda self: not self.is_bad_active)
    @rule()
    def publish_bad(self) -> None:
        """Not twice in a row: with two bad ones, active and previous, a start is refused."""
        assert self.house is not None
        self.published += 1
        self.is_bad_active = True
        self.house.publish(self.world.bad, f"20260202T000000Z-{self.published:08x}")

    def ring(self, name: bytes, rings: bool) -> None:
        if rings and self.house is not None:
            self.house.watcher.ring(self.inbox, name, was_closed=True)

    # --- the verdict

    def excused(self) -> tuple[str, ...]:
        """What a failure may be called but for what the content is worth.

        A retry may find the file gone; and a dead worker with kills before may use up the attempts.
        """
        return ("vanished", *(("worker_died",) if self.deaths and self.kills >= 2 else ()))

    def end_well(self) -> None:
        if self.lock is not None:
            self.unlock_ledger()
        assert self.house is not None
        for _ in range(round((2 * REST_SECONDS + (70 if self.deaths else 0)) / STEP_SECONDS)):
            self.turn()
        self.promise.attend(2 * REST_SECONDS)
        self.nothing_is_answered_wrongly()
        assert self.promise.belied(self.rows()) == []
        verdict = judge(self.house.home, expected=self.promise.owed, untouched=self.promise.there)
        assert not verdict.complaints, "\n".join(verdict.complaints)


@pytest.fixture
def world(
    tmp_path: Path, checkpoint_file: Path, second_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> World:
    duties = storage.database.sqlite.ACCESS
    impatient = replace(duties["daemon"], timeout_seconds=0, inspects_seconds=0.0)
    monkeypatch.setitem(duties, "daemon", impatient)
    monkeypatch.setattr(daemon.control.ledger_retry, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(daemon.pipeline.window, "SEGMENT_SECONDS", 1.0)
    return World(tmp_path, [checkpoint_file, second_checkpoint])


def test_no_sequence_of_events_breaks_the_promise(
    world: World, size: Callable[[str, int], int]
) -> None:
    Sequence.world = world
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Sequence,
        settings=settings(
            max_examples=size("SEQUENCES", 200),
            stateful_step_count=size("SEQUENCE_STEPS", 30),
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
