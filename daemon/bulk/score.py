"""`clfd bulk score`: a shard of the list, with its rows in parts that are each whole or not there.

Shards know nothing of each other. What has a row is not scored again, in whatever shards it was.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from daemon.bulk.scorer import begun_scorer
from daemon.control.signals import StopRequests, handled_signals
from storage.bulk.parquet_parts import (
    MANIFEST,
    OUTPUT,
    Ids,
    ListedFile,
    Row,
    is_in,
    read_ids,
    read_rows,
    write_part,
)
from storage.bulk.work_folder import WorkFolder
from storage.home.paths import Home
from storage.settings.schema import Settings
from storage.values.progress import status_line
from storage.values.text import counted

PART_ROWS = 20_000
# What is not in a part is lost with the process: at most a tenth of its work so far. Yet a day of
# hour-long recordings makes no more than 720 files.
PART_SHARE, MIN_PART_SECONDS, MAX_PART_SECONDS = 0.1, 5.0, 120.0
SHOW_SECONDS = 1.0  # between two lines of progress, of which one is written over the other
NOTE_SECONDS = 60.0  # between two that stay
RATE_SECONDS = 60.0  # that a rate is told of


class Shard(NamedTuple):
    """Every `of`-th file of the list; `number` counts from 1."""

    number: int
    of: int

    @property
    def folder(self) -> str:
        return f"shard-{self.number:05}-of-{self.of:05}"

    @property
    def all_folders(self) -> str:
        """A glob."""
        return f"shard-*-of-{self.of:05}"


def score_shard(
    home: Home,
    settings: Settings,
    work: WorkFolder,
    shard: Shard,
    note: Callable[[str], None],
    show_progress: bool,
) -> bool:
    """Whether all files of the shard have their rows now; else it was stopped.

    Raises StorageError, DaemonError and ClassifierError.
    """
    job = work.read_job()
    work.require_checkpoint(job)
    with work.output_folder(shard.folder, beside=shard.all_folders) as folder:
        answered = np.sort(read_ids(work.output_parts()))
        n_left = count_unanswered(work, shard, answered)
        if not n_left:
            note(f"every file of {shard.number}/{shard.of} has its row: nothing to do")
            return True
        files, stops = unanswered(work, shard, answered), StopRequests()
        with (
            handled_signals(stops.add, lambda: None),
            begun_scorer(home, settings, work, job, stops) as scorer,
            shown_progress(n_left, note, show_progress) as progress,
            Parts(folder) as parts,
        ):
            for row in scorer.rows(files):
                parts.add(row)
                progress.advance(1, row["state"] == "failed")
    note(progress.summary())
    if progress.n_left:
        note(f"stopped; {progress.n_left:,} files are left, and the same command goes on")
    return not progress.n_left


def unanswered(work: WorkFolder, shard: Shard, answered: Ids) -> Iterator[ListedFile]:
    """The files of a shard but those whose ids are among these, which are sorted."""
    for batch in _unanswered(work, shard, answered, MANIFEST.names):
        yield from (ListedFile(**row) for row in batch.to_pylist())


def count_unanswered(work: WorkFolder, shard: Shard, answered: Ids) -> int:
    return sum(len(batch) for batch in _unanswered(work, shard, answered, ["id"]))


def _unanswered(
    work: WorkFolder, shard: Shard, answered: Ids, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    first = shard.number - 1  # of this shard in the next batch
    for batch in read_rows(work.manifest_parts(), columns):
        ours = np.arange(first, len(batch), shard.of)
        first = (first - len(batch)) % shard.of
        ids = batch.column("id").to_numpy()[ours]
        yield batch.take(pa.array(ours[~is_in(answered, ids)]))


class Parts:
    """Rows on their way into parts, which are written behind the scoring."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._rows: list[Row] = []
        numbers = (int(part.stem.rpartition("-")[2]) for part in folder.glob("part-*.parquet"))
        self.n_parts = 1 + max(numbers, default=-1)
        self._began_at = self._part_began_at = clock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="parts")
        self._writing: Future[None] | None = None

    def add(self, row: Row) -> None:
        """Raises StorageError where the part before could not be written."""
        self._rows.append(row)
        now = self._clock()
        seconds = PART_SHARE * (now - self._began_at)
        is_due = now - self._part_began_at > min(max(seconds, MIN_PART_SECONDS), MAX_PART_SECONDS)
        if is_due or len(self._rows) >= PART_ROWS:
            self._write()
            self._part_began_at = now

    def _write(self) -> None:
        self._wait()
        file, rows = self._folder / f"part-{self.n_parts:05}.parquet", self._rows
        self._rows, self.n_parts = [], self.n_parts + 1
        self._writing = self._thread.submit(write_part, file, OUTPUT, rows)

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *_: object) -> None:
        """What is finished is written, whatever the reason."""
        try:
            if self._rows:
                self._write()
            self._wait()
        finally:
            self._thread.shutdown()


@contextmanager
def shown_progress(
    n_files: int, note: Callable[[str], None], show_progress: bool
) -> Iterator[Progress]:
    """On a terminal a line that is written over, elsewhere one a minute."""
    with status_line(show_progress) as show:
        is_written_over = show_progress and sys.stderr.isatty()
        told = (show, SHOW_SECONDS) if is_written_over else (note, NOTE_SECONDS)
        yield Progress(n_files, *told)


class Progress:
    """How far a shard is, at which rate, and how long it will take."""

    def __init__(
        self,
        n_files: int,
        show: Callable[[str], None],
        show_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._n_files = n_files
        self._show, self._show_seconds, self._clock = show, show_seconds, clock
        self._began_at = clock()
        self._past = deque([(self._began_at, 0)])  # of the last minute: when there were how many
        self._due = self._began_at + show_seconds
        self.n_done = self.n_failed = 0

    @property
    def n_left(self) -> int:
        return self._n_files - self.n_done

    def advance(self, n_done: int, n_failed: int) -> None:
        self.n_done += n_done
        self.n_failed += n_failed
        now = self._clock()
        if now - self._past[-1][0] < 1.0:
            return
        self._past.append((now, self.n_done))
        while now - self._past[0][0] > RATE_SECONDS:
            self._past.popleft()
        if now >= self._due:
            self._due = now + self._show_seconds
            self._show(self.line(now))

    def line(self, now: float) -> str:
        then, n_then = self._past[0]
        rate = (self.n_done - n_then) / max(now - then, 1e-9)
        left = f", {duration_text(self.n_left / rate)} left" if rate else ""
        share = 100 * self.n_done / self._n_files
        return (
            f"{self.n_done:,} of {self._n_files:,} files ({share:.1f} %), {rate:.1f} files/s{left};"
            f" {self.n_failed:,} failed"
        )

    def summary(self) -> str:
        seconds = self._clock() - self._began_at
        scored = f"{counted(f'{self.n_done:,}', 'file')} in {duration_text(seconds)}"
        return f"{scored}, {self.n_done / max(seconds, 1e-9):.1f} files/s, {self.n_failed:,} failed"


def duration_text(seconds: float) -> str:
    """`34 s`, `5 min`, `3 h 20 min`, `2 days 4 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} days {hours % 24} h"
