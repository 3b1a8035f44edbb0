"""A whole daemon in one process: decoding inline, the clock in the test's hand, no events."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch

from classifier.decoding import Stretch, decode
from classifier.errors import DecodingError, FileChanged
from classifier.pool import Answer
from daemon.archive import Archive
from daemon.doorbell import Ring
from daemon.hooks import Hooks
from daemon.inbox import inboxes_of
from daemon.intake import Intake
from daemon.live_model import LiveModel
from daemon.liveness import Liveness
from daemon.mounts import Mount, MountMemory
from daemon.pace import Pace
from daemon.pausing import Pause
from daemon.reloading import Reloading
from daemon.service import Service
from daemon.status import StatusReport
from daemon.window import Window, with_batches
from daemon.wiring import archive_plan, load_predictor, mover
from storage.database import open_database
from storage.home import Home
from storage.ledger import Ledger
from storage.outcomes import Arrival
from storage.pausing import paused_since
from storage.settings import Settings, load_settings
from storage.shelf import Shelf
from storage.times import stamp

STEP_SECONDS = 1.0
BEGINNING = datetime(2026, 3, 4, tzinfo=UTC)


class InlinePool:
    """A decode pool without processes: answers at once, in order."""

    workers = 2

    def __init__(self) -> None:
        self._answers: list[tuple[object, Answer]] = []
        self.submitted: list[Stretch] = []
        self.next_error: DecodingError | FileChanged | None = None

    @property
    def in_flight(self) -> int:
        return len(self._answers)

    def submit_all(self, stretches: Sequence[tuple[object, Stretch]]) -> None:
        for key, stretch in stretches:
            self.submitted.append(stretch)
            self._answers.append((key, self._answer(stretch)))

    def collect(self) -> list[tuple[object, Answer]]:
        answers, self._answers = self._answers, []
        return answers

    def _answer(self, stretch: Stretch) -> Answer:
        error, self.next_error = self.next_error, None
        if error is not None:
            return error
        try:
            return decode(stretch)
        except (DecodingError, FileChanged) as error:
            return error


class Hands(Executor):
    """The archive's thread, without one: works at once, or keeps the work back while `idle`."""

    def __init__(self) -> None:
        self.idle = False
        self._kept: list[Callable[[], None]] = []

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._kept.append(lambda: future.set_result(work(*arguments, **named)))
        if not self.idle:
            self.work()
        return future

    def work(self) -> None:
        kept, self._kept = self._kept, []
        for work in kept:
            work()


class SilentDoorbell:
    """Never rings: what is found is found by scans. `ring` plays the events of a test."""

    watching: ClassVar[dict[str, str]] = {}
    deaf = ()

    def __init__(self) -> None:
        self.noted: list[Ring] = []

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def supervise(self) -> None: ...

    def compare_with(self, n_folders: int) -> None: ...

    def ring(self, root: Path, path: bytes, was_closed: bool = False) -> None:
        self.noted.append(Ring(root, path, was_closed))

    def collect(self) -> tuple[list[Ring], bool]:
        noted, self.noted = self.noted, []
        return noted, False


class House:
    """`tick` turns the daemon once, `live` for some seconds of its clock, in no time at all."""

    def __init__(self, home: Home, settings: Settings) -> None:
        self.now = 1000.0
        database = open_database(settings.database, "daemon")
        ledger = Ledger(database, self.stamp, archive_plan(settings))
        self.home, self.ledger, self.settings = home, ledger, settings
        self.settings_now = settings  # what a reload reads
        self.inbox = settings.inboxes[0]
        self.shelf = Shelf(home.checkpoints)
        self.pool, self.doorbell = InlinePool(), SilentDoorbell()
        self.statuses: list[dict[str, object]] = []
        self.notices: list[tuple[str, ...]] = []  # what the service manager is told
        self.model = LiveModel(
            self.shelf,
            ledger,
            partial(load_predictor, device=torch.device("cpu")),
            settings.engine.overlap_seconds,
        )
        links = settings.intake.duplicates == "link"
        self.mount = Mount(Path("/"), "ext4")
        mounts = MountMemory(ledger, lambda _: self.mount)
        self.window = Window(
            self.pool,  # type: ignore[arg-type]
            settings.engine,
            settings.intake.max_attempts,
            links,
            partial(ledger.known_answers, link=links),
            settings.intake.damaged == "warn",
            mounts.is_away,
            Pace(lambda: self.now),
        )
        self.intake = Intake(
            inboxes_of(settings),
            settings.intake,
            ledger,
            mounts,
            self.doorbell,  # type: ignore[arg-type]
            self.window.holds,
        )
        self.hands = Hands()
        self.archive = Archive(mover(home, settings), ledger, thread=self.hands)
        report = StatusReport(
            lambda status: self.statuses.append(dict(status)),
            ledger.counts,
            ledger.last_failure,
            lambda: self.now,
            {},
        )
        self.service = Service(
            claimant="test",
            max_attempts=settings.intake.max_attempts,
            ledger=ledger,
            model=self.model,
            doorbell=self.doorbell,  # type: ignore[arg-type]
            intake=self.intake,
            window=self.window,
            archive=self.archive,
            report=report,
            liveness=Liveness(
                settings.engine.decode_timeout_seconds,
                is_watched=lambda: True,
                send=lambda *words: self.notices.append(words),
            ),
            reloading=Reloading(settings, lambda: self.settings_now, self._adopt, self.model, home),
            pause=Pause(partial(paused_since, home)),
            hooks=Hooks(),
            wake=threading.Event(),
            clock=lambda: self.now,
        )

    def _adopt(self, settings: Settings) -> None:
        self.intake.adopt(inboxes_of(settings), settings.intake)
        self.window.adopt(settings.engine)

    def __enter__(self) -> House:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.model.stop()
        self.ledger.close()

    def stamp(self) -> str:
        """The ledger's time runs with the daemon's clock."""
        return stamp(BEGINNING + timedelta(seconds=self.now))

    def live(self, seconds: float = 40.0) -> None:
        """Long enough, by default, for a scan, the settling and the scoring of a few files."""
        end = self.now + seconds
        while self.now < end:
            while self.service.try_tick():
                pass
            self.now += STEP_SECONDS

    def run_once(self) -> None:
        """`run(once=True)`, with the clock moved on in place of waiting."""
        house = self

        class Waiting(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                house.now += timeout or 0.5
                return True

        self.service._wake = Waiting()
        self.service.run(once=True)

    def drop(self, source: Path, name: str | bytes) -> Path:
        """Copies a file into the inbox under a name, with its folders."""
        target = self.inbox / (
            name if isinstance(name, str) else name.decode(errors="surrogateescape")
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        return target

    def begin_to_decode(self, source: Path) -> None:
        """As `a.wav`; the answer is still to be collected."""
        self.drop(source, "a.wav")
        self.ledger.admit([self.look_at(b"a.wav")])
        self.window.take(self.ledger.claim("test", 10, 3), self.model.served)

    def look_at(self, name: bytes) -> Arrival:
        """A file in the inbox as a scan would find it."""
        arrival = inboxes_of(self.settings)[0].look_at(name)
        assert arrival is not None
        return arrival

    def publish(self, checkpoint_file: Path, name: str | None = None) -> str:
        """Puts a checkpoint on the shelf and activates it."""
        target = self.home.checkpoints / (f"{name}.safetensors" if name else checkpoint_file.name)
        shutil.copyfile(checkpoint_file, target)
        self.shelf.activate(target.stem)
        return target.stem

    def rows(self) -> list[tuple[str, str]]:
        """(path, state) of every row, sorted."""
        with self.ledger.database.transaction() as connection:
            found = connection.exec_driver_sql("SELECT path_text, state FROM recording")
            return sorted((path, state) for path, state in found)

    def ask(self, sql: str) -> list[tuple[object, ...]]:
        with self.ledger.database.transaction() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(sql)]


def house_settings(home: Home, **overrides: object) -> Settings:
    return with_batches(load_settings(home, overrides, environ={}), "cpu")


HouseMaker = Callable[..., House]
