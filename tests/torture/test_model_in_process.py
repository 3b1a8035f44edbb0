"""Random sequences of what people, programs and fate do, against the model of the promise.

The whole daemon runs in this process with the clock in the test's hand, so that thousands of
sequences are tried; Hypothesis shrinks what fails and prints how to repeat it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from house import STEP_SECONDS, House, InlinePool, house_settings
from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from oracle import judge
from promise import File, Promise, Worth
from sounds import not_audio, wav, wav_header

import daemon.service
import daemon.window
import storage.database
from classifier.decoding import Stretch, decode
from classifier.errors import DecodingError
from classifier.predictor import Predictor
from daemon.wiring import load_predictor
from storage.database import driver
from storage.errors import LedgerUnavailable
from storage.home import Home

REST_SECONDS = 14.0  # a scan every 5 s, 2 s at rest, and the turns between
NAMES = (b"a.wav", b"b.WAV", b"n\xff.flac", b"d/a.wav", b"d/e/c.wav", b".hidden.wav", b"c.wav.part")
FOLDERS = (b"d", b"moved")
GOOD = ("20260101T000000Z-0000000a", "20260101T000000Z-0000000b")
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None  # nothing is flushed to a disk
MAX_KILLS = 5  # after six deaths while it was read, a file may be given up

names = strategies.sampled_from(NAMES)
heard = strategies.booleans()


def contents() -> strategies.SearchStrategy[bytes]:
    """A few sounds, so that copies are common: short, of several stretches, cut short, and none."""
    whole = strategies.builds(wav, strategies.integers(0, 3), strategies.sampled_from((0.4, 2.6)))
    cut = strategies.builds(lambda n: wav_header(8000) + wav(n)[44:], strategies.integers(0, 1))
    return whole | cut | strategies.builds(not_audio, strategies.integers(0, 1))


class Killed(BaseException):
    """kill -9, between two instructions."""


class LatePool(InlinePool):
    """Decodes when answers are asked for: files change between the claim and the reading."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: list[tuple[object, Stretch]] = []

    @property
    def in_flight(self) -> int:
        return len(self._asked)

    def submit(self, key: object, stretch: Stretch) -> None:
        self._asked.append((key, stretch))

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


class Alone(Mapping[tuple[str, str], Worth]):
    """What a content is worth by itself: decoded at once, scored at once, remembered."""

    def __init__(self, predictors: dict[str, Predictor]) -> None:
        self._predictors = predictors
        self._contents: dict[str, bytes] = {}
        self._known: dict[tuple[str, str], Worth] = {}

    def learn(self, file: File) -> None:
        self._contents[file.digest] = file.content

    def __getitem__(self, key: tuple[str, str]) -> Worth:
        if key not in self._known:
            self._known[key] = self._find_out(*key)
        return self._known[key]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def _find_out(self, digest: str, checkpoint: str) -> Worth:
        with tempfile.NamedTemporaryFile(suffix=".wav") as file:
            file.write(self._contents[digest])
            file.flush()
            try:
                decoded = decode(Stretch(os.fsencode(file.name), 8000, 4000, 4000, 1000))
            except DecodingError as error:
                return error.kind
        if checkpoint == "any":
            return "nothing"
        scores: np.ndarray = self._predictors[checkpoint].score(decoded.clips.copy()).mean(axis=0)
        return scores


class World:
    """What all sequences share: two good checkpoints, a bad one, and a home to begin with."""

    def __init__(self, folder: Path, checkpoints: list[Path]) -> None:
        self.beginning = folder / "beginning"
        self.good = dict(zip(GOOD, checkpoints, strict=True))
        self.bad = folder / "bad.safetensors"
        self.bad.write_bytes(checkpoints[0].read_bytes()[:-1000])
        home = Home(self.beginning)
        home.create()
        house = House(home, house_settings(home))
        house.publish(self.good[GOOD[0]], GOOD[0])
        house.close()
        loaded = [load_predictor(file, torch_cpu()) for file in checkpoints]
        self.alone = Alone({predictor.checkpoint.digest: predictor for predictor in loaded})


def torch_cpu() -> Any:
    import torch

    return torch.device("cpu")


class Sequence(RuleBasedStateMachine):
    world: World

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="sequence-", dir=MEMORY))
        self.promise = Promise(REST_SECONDS)
        self.house: House | None = None
        self.kills = self.deaths = self.published = 0
        self.is_bad_active = False
        self.lock: Any = None
        self.now = 1000.0

    def teardown(self) -> None:
        try:
            if self.house is not None:
                self.end_well()
        finally:
            self.abandon()
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- the daemon

    @initialize()
    def begin(self) -> None:
        shutil.copytree(self.world.beginning, self.folder / "home", symlinks=True)
        self.start()

    def start(self) -> None:
        home = Home(self.folder / "home")
        wanted = house_settings(home, **{"intake.scan_seconds": 5.0})
        self.house = house = House(home, wanted)
        house.now = self.now
        pool = LatePool()
        house.pool = house.window._pool = pool
        house.model._thread.shutdown()
        house.model._thread = AtOnce()  # type: ignore[assignment]
        house.service.start()

    @property
    def inbox(self) -> Path:
        return self.folder / "home" / "inbox"

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

    # --- files

    def at(self, name: bytes) -> bytes:
        return os.path.join(os.fsencode(self.inbox), name)

    def ring(self, name: bytes, rings: bool) -> None:
        """Events may come, or be lost."""
        if rings and self.house is not None:
            self.house.doorbell.ring(self.inbox, name)

    def existing(self, name: bytes) -> bytes | None:
        """A name that is there, whichever was drawn."""
        there = sorted(self.promise.names)
        return there[NAMES.index(name) % len(there)] if there else None

    def make_room(self, name: bytes) -> bool:
        """The folder of this name; False where something else stands there."""
        path = self.at(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return not os.path.islink(path)

    @rule(name=names, content=contents(), rings=heard)
    def create(self, name: bytes, content: bytes, rings: bool) -> None:
        if not self.make_room(name):
            return
        file = self.promise.names.get(name)
        with open(self.at(name), "wb") as handle:  # in place, where there is one
            handle.write(content)
        if file is None:
            file = File(content)
            self.promise.put(name, file)
        file.content = content
        self.stir(file)
        self.ring(name, rings)

    def stir(self, file: File) -> None:
        self.world.alone.learn(file)
        self.promise.stir(file)

    @rule(name=names, content=contents(), rings=heard)
    def replace(self, name: bytes, content: bytes, rings: bool) -> None:
        if not self.make_room(name):
            return
        aside = self.folder / "aside"
        aside.write_bytes(content)
        aside.rename(os.fsdecode(self.at(name)))
        file = File(content)
        self.promise.put(name, file)
        self.stir(file)
        self.ring(name, rings)

    @rule(name=names, n_bytes=strategies.integers(1, 5000), rings=heard)
    def append(self, name: bytes, n_bytes: int, rings: bool) -> None:
        found = self.existing(name)
        if found is None:
            return
        more = bytes(n_bytes % 251 for _ in range(n_bytes))
        with open(self.at(found), "ab") as handle:
            handle.write(more)
        file = self.promise.names[found]
        file.content += more
        self.stir(file)
        self.ring(found, rings)

    @rule(old=names, new=names, rings=heard)
    def rename(self, old: bytes, new: bytes, rings: bool) -> None:
        found = self.existing(old)
        if found is None or not self.make_room(new):
            return
        files = self.promise.names
        if files.get(new) is files[found]:
            return  # two names of one file: the kernel does nothing
        os.rename(self.at(found), self.at(new))
        self.promise.put(new, self.promise.drop(found))
        self.ring(new, rings)

    @rule(old=names, new=names, rings=heard)
    def link(self, old: bytes, new: bytes, rings: bool) -> None:
        found = self.existing(old)
        if found is None or new in self.promise.names or not self.make_room(new):
            return
        os.link(self.at(found), self.at(new))
        self.promise.put(new, self.promise.names[found])
        self.ring(new, rings)

    @rule(name=names, rings=heard)
    def delete(self, name: bytes, rings: bool) -> None:
        found = self.existing(name)
        if found is None:
            return
        os.unlink(self.at(found))
        file = self.promise.drop(found)
        self.promise.stir(file)  # its other names see another link count
        self.ring(found, rings)

    @rule(name=names)
    def touch(self, name: bytes) -> None:
        found = self.existing(name)
        if found is None:
            return
        os.utime(self.at(found))
        self.promise.stir(self.promise.names[found])

    @rule(old=strategies.sampled_from(FOLDERS), new=strategies.sampled_from(FOLDERS))
    def move_folder(self, old: bytes, new: bytes) -> None:
        if os.path.isdir(self.at(old)) and not os.path.exists(self.at(new)):
            os.rename(self.at(old), self.at(new))
            self.promise.move_folder(old, new)

    @rule(name=names)
    def symlink(self, name: bytes) -> None:
        """A link beside, to a file of the inbox: never followed, never answered."""
        found = self.existing(name)
        path = self.at(b"link-" + os.path.basename(name))
        if found is not None and not os.path.lexists(path):
            os.symlink(self.at(found), path)

    # --- the verdict

    def rows(self) -> list[tuple[Any, ...]]:
        query = (
            "SELECT r.path, r.digest, r.state, r.error_class, p.scores, c.digest FROM recording r"
            " LEFT JOIN prediction p ON p.id = r.prediction_id"
            " LEFT JOIN checkpoint c ON c.id = p.checkpoint_id"
        )
        with closing(driver().connect(self.folder / "home" / "clfd.db")) as ledger:
            return ledger.execute(query).fetchall()

    @invariant()
    def nothing_is_answered_wrongly(self) -> None:
        if self.house is not None:
            found = self.promise.complaints(self.rows(), self.world.alone, self.excused())
            assert not found, "\n".join(found)

    def excused(self) -> tuple[str, ...]:
        """What a failure may be called but for what the content is worth.

        A retry may find the file gone; and a dead worker with kills before may use up the attempts.
        """
        return ("vanished", *(("worker_died",) if self.deaths and self.kills >= 2 else ()))

    def end_well(self) -> None:
        if self.lock is not None:
            self.unlock_ledger()
        assert self.house is not None
        for _ in range(round((700 if self.deaths else 2 * REST_SECONDS) / STEP_SECONDS)):
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
    duties = storage.database._DUTIES
    impatient = replace(duties["daemon"], patience_seconds=0, inspects_seconds=0.0)
    monkeypatch.setitem(duties, "daemon", impatient)
    monkeypatch.setattr(daemon.service, "TROUBLE_SECONDS", 0.0)
    monkeypatch.setattr(daemon.window, "STRETCH_SECONDS", 1.0)
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
