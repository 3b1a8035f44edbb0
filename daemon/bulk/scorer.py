"""The scorer of `clfd bulk`: the daemon's window over listed files, each of which gets a row.

There is no ledger: attempts are counted here, and what was not finished is begun again by whoever
reads the list next.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from itertools import count
from pathlib import Path

import numpy as np

from classifier.errors import DecodingError, FileChanged
from classifier.inference.scoring_process import ScoringProcesses
from daemon.backoff import wait_seconds
from daemon.bulk.archive_roots import root_at
from daemon.bulk.fetches import Fetches, Trial
from daemon.control.signals import StopRequests
from daemon.errors import DaemonError
from daemon.pipeline.model_manager import Served, hop_samples
from daemon.pipeline.scoring import MAX_VAIN_DEATHS
from daemon.pipeline.scoring_setup import RecordingPool, begun_scoring, decode_pool, with_batches
from daemon.pipeline.window import Window
from storage.bulk.parquet_parts import OUTPUT, ListedFile, Row
from storage.bulk.work_folder import Job, WorkFolder
from storage.home.paths import Home
from storage.ledger.outcomes import (
    Changed,
    Failed,
    Outcome,
    Postponed,
    Scored,
    check_outcome,
)
from storage.settings.schema import Settings
from storage.values.findings import Finding
from storage.values.text import printable, printable_path
from storage.values.timestamps import choose_recorded_at, moment_in_name, utc_now

REST_SECONDS = 1.0
DRAIN_SECONDS = 30.0  # of what is in flight when a stop is asked for
COMPILE_CLIPS = 10_000  # between two looks whether the network is worth compiling
KILLER = "the process that scores died of it, among others and again when it was alone; look at it"
CHANGED = "it is not as it was listed any more; list it again, into another work folder"
_EMPTY = dict.fromkeys(OUTPUT.names)
_AS_SCORED = [field.name for field in fields(Scored) if field.name in _EMPTY]


@contextmanager
def begun_scorer(
    home: Home, settings: Settings, work: WorkFolder, job: Job, stops: StopRequests
) -> Iterator[BulkScorer]:
    """With the processes it needs. Raises what loading the checkpoint raises, and DaemonError.

    Settings that decide the answers are the job's, the others those of this machine.
    """
    roots = {root.name: root for root in map(root_at, job.roots)}
    for root in roots.values():
        root.require()
    engine = settings.engine.model_copy(update={**job.engine, "embeddings": False})
    compiled = home.compiled if home.is_made else None
    with begun_scoring(engine, compiled) as (scoring, wake):
        settings = with_batches(settings.model_copy(update={"engine": engine}), scoring.device.kind)
        with decode_pool(engine, scoring, wake) as pool, Fetches(roots, wake) as fetches:
            yield BulkScorer(settings, work, job, scoring, pool, fetches, wake, stops)


@dataclass(eq=False)
class BulkScorer:
    """Scores the files that `rows` is given, by the checkpoint of the work folder."""

    settings: Settings
    work: WorkFolder
    job: Job
    scoring: ScoringProcesses
    pool: RecordingPool
    fetches: Fetches
    wake: threading.Event
    stops: StopRequests
    _in_flight: dict[int, Trial] = field(default_factory=dict)
    _later: list[tuple[float, int, Trial]] = field(default_factory=list)  # a heap, by due time
    _suspects: deque[Trial] = field(default_factory=deque)  # what died with who scored it
    _doubtful: list[Row] = field(default_factory=list)  # not the file's fault if all die
    _n_vain_deaths: int = 0
    _n_batches_before: int = 0
    _compile_due: int = COMPILE_CLIPS

    def __post_init__(self) -> None:
        self._numbers = count()
        self._served = self._load()
        self.window = Window(
            self.pool,
            self.settings.engine,
            self.settings.intake.max_attempts,
            links_duplicates=False,
            accepts_damaged=self.job.accepts_damaged,
            is_away=self._refuse_away,
            batches_at_once=self.scoring.device.n_batches,
            log=lambda *_: None,  # a row for each file says it
        )

    def rows(self, files: Iterable[ListedFile]) -> Iterator[Row]:
        """A row for each of the files, in any order; after a stop for those that are finished.

        Raises DaemonError where this machine cannot score, or a root is away.
        """
        waiting = map(Trial, files)
        while not self.stops.is_requested():
            self.wake.clear()
            yield from self._take(waiting)
            if not (self._in_flight or self._later or self._suspects or self.fetches):
                break
            yield from self._step()
            if not self._is_alive:
                self._begin_again()
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._in_flight and self._is_alive and self.stops.n < 2:
            if time.monotonic() > deadline:
                break
            self.wake.clear()
            yield from self._step()
        self._abandon()
        yield from self._believed()

    @property
    def _is_alive(self) -> bool:
        return self._served.predictor.is_alive

    def _step(self) -> Iterator[Row]:
        """What is finished, and a rest where nothing is."""
        for outcome in self.window.step(self.stops.is_requested()):
            yield from self._rows_of(self._in_flight.pop(outcome.recording_id), outcome)
        if self.window.batches.n_batches > self._n_batches_before:
            self._n_batches_before, self._n_vain_deaths = self.window.batches.n_batches, 0
            yield from self._believed()
            self._compile_if_worthwhile()
        if not self.window.batches.can_get_on:
            self.wake.wait(REST_SECONDS)

    def _take(self, waiting: Iterator[Trial]) -> Iterator[Row]:
        """Suspects first, each when nothing else is there; then what is due again, then others.

        Gives the rows of those that could not be fetched.
        """
        if self._suspects:
            if not self._in_flight:
                self._begin([self._suspects.popleft()])
            return
        while self._later and self._later[0][0] <= time.monotonic():
            self.fetches.ask(heapq.heappop(self._later)[2])
        self.fetches.fill(waiting)
        self._begin(self.fetches.take(self.window.free if self.window.wants_more else 0))
        for trial, error in self.fetches.refused():
            yield from self._rows_of(trial, self._unread(trial, error))

    def _begin(self, trials: Sequence[Trial]) -> None:
        self._in_flight.update((trial.file.id, trial) for trial in trials)
        self.window.take((trial.claim for trial in trials), self._served)

    def _unread(self, trial: Trial, error: DecodingError | FileChanged) -> Outcome:
        """As the window has it of files that cannot be read."""
        number = trial.file.id
        if isinstance(error, FileChanged):
            return Changed(number)
        if error.transient and trial.attempts < self.settings.intake.max_attempts:
            return Postponed(number, error.kind, error.reason, wait_seconds(trial.attempts))
        return Failed(number, error.kind, error.reason)

    def _rows_of(self, trial: Trial, outcome: Outcome) -> Iterator[Row]:
        """None where it is tried again."""
        if isinstance(outcome, Postponed):
            # A disk may be back in a while; a decoder is back at once.
            wait = 0.0 if outcome.error_class == "worker_died" else outcome.wait_seconds
            again = replace(trial, attempts=trial.attempts + outcome.counts)
            heapq.heappush(self._later, (time.monotonic() + wait, next(self._numbers), again))
        else:
            self.fetches.drop(trial)
            yield row_of(trial.file, outcome, self.job)

    def _begin_again(self) -> None:
        """The process that scores has died, maybe of what it was scoring: each of that goes alone.

        What kills it `intake.max_attempts` times has failed, if a later one then scores anything.
        """
        suspects = {recording.claim.recording_id for recording in self.window.batches.lost}
        self._n_vain_deaths += bool(suspects)  # who is killed at rest has not tried
        if self._n_vain_deaths > MAX_VAIN_DEATHS:
            raise DaemonError(
                f"the process that scores died {MAX_VAIN_DEATHS} times without scoring anything;"
                " see the system's log"
            )
        for trial in self._abandon():
            if trial.file.id not in suspects:
                heapq.heappush(self._later, (0.0, next(self._numbers), trial))
                continue
            trial = replace(trial, n_deaths=trial.n_deaths + 1)
            if trial.n_deaths < self.window.max_attempts:
                self._suspects.append(trial)
            else:
                self.fetches.drop(trial)
                failed = Failed(trial.file.id, "given_up", KILLER)
                self._doubtful.append(row_of(trial.file, failed, self.job))
        self._served = self._load()

    def _abandon(self) -> list[Trial]:
        """What is in flight, and will not be finished."""
        return [self._in_flight.pop(number) for number in self.window.abandon()]

    def _believed(self) -> Iterator[Row]:
        """Rows of files that killed who scored them, now that it is not the machine."""
        yield from self._doubtful
        self._doubtful.clear()

    def _load(self) -> Served:
        predictor = self.scoring.load(self.work.checkpoint)
        hop = hop_samples(predictor.checkpoint, self.settings.engine.overlap_seconds)
        return Served(predictor, hop, checkpoint_id=0)

    def _compile_if_worthwhile(self) -> None:
        clips_scored = self.window.batches.clips_scored
        if clips_scored >= self._compile_due:
            self._compile_due = clips_scored + COMPILE_CLIPS
            self._served.predictor.compile_if_worthwhile(self.work.checkpoint, clips_scored)

    def _refuse_away(self, folder: Path) -> bool:
        """Raises DaemonError where files are gone because their mount is."""
        return self.fetches.refuse_away(folder, self.work.root.absolute())


def row_of(file: ListedFile, outcome: Outcome, job: Job) -> Row:
    """By the names of the columns."""
    if isinstance(outcome, Changed):
        outcome = Failed(file.id, "changed", CHANGED)
    outcome = check_outcome(outcome)
    path = printable_path(file.path)
    row = {**_EMPTY, **file._asdict(), "path_text": path, "answered_at": utc_now()}
    row["checkpoint_digest"] = job.checkpoint_digest
    if isinstance(outcome, Failed):
        why = {"error_class": outcome.error_class, "error": printable(outcome.error)}
        return row | why | {"state": "failed", "digest": outcome.digest}
    assert isinstance(outcome, Scored), "nothing is linked, and what is postponed has no row"
    row |= vars(outcome.facts)
    row["recorded_at"] = choose_recorded_at(outcome.facts.recorded_at, moment_in_name(path))
    row |= {name: getattr(outcome, name) for name in _AS_SCORED}
    row["recorder"] = row["recorder"] and printable(row["recorder"])
    row["warning"] = row["warning"] and printable(row["warning"])
    row["labels"] = [dict(zip(Finding._fields, one, strict=True)) for one in outcome.own_findings]
    row["scores"] = np.frombuffer(outcome.scores, "<f4")
    return row | {"state": "done"}
