"""Decoding in worker processes that can be killed.

Pebble's pool has what those of the standard library lack: a deadline per task that kills the
worker, and the name of the task that a dead worker was busy with. A task may be several short
files; where it fails, each of them is tried alone. A big file is looked at first; where it is to be
read whole then, that is done in workers of its own, so that it holds up no other.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from pebble import CONSTS

from classifier.audio.decode import BigFile, DecodedAudio, Segment, is_big
from classifier.errors import (
    DecodingError,
    FileChanged,
    NoWorkersError,
    internal_error,
    machine_error,
)
from classifier.workers.cores import usable_cores
from classifier.workers.failures import NO_WORKERS, crash_error, failure_of, may_be_out_of_time
from classifier.workers.shared_memory import Slot, SlotBuffer, Slots, likely_bytes
from classifier.workers.worker import (
    DecodeTask,
    Result,
    SlotResult,
    decode_each,
    prepare_worker,
    stderr_folder,
    within,
)
from classifier.workers.worker_pool import WorkerPool

Key = TypeVar("Key", bound=Hashable)
Answer = DecodedAudio | DecodingError | FileChanged

HASH_BYTES_PER_SECOND = 10e6  # a slow share; a big file may take that long to be read once
HOLE_BYTES_PER_SECOND = 100e6  # comes from no disk; a slow processor
MAX_TRIES = 3  # of a task that was waiting when a worker died with another one, or with none
POLL_SECONDS = 0.1
CONSTS.sleep_unit = 0.3  # between two looks of Pebble's; with 0.1 they take 0.3 % of a core at rest
SLOTS_OF_A_WORKER = 8
# Handing a task to a worker and its answer back costs the daemon 0.2 ms, so short files share one.
BUNDLE_FILES, BUNDLE_BYTES = 16, 16 * 2**20  # of samples
BUNDLE_SECONDS = 5.0  # then each file is tried alone: one that hangs should not hold up the others
ALONE_SECONDS = 60.0  # after that, in which every file goes alone: a share may be slow
STUCK_SECONDS = 10.0  # past every deadline without a sign of life
SLOW_SECONDS = 30.0  # in a worker; most files take less than one


@dataclass(eq=False)
class _Part(Generic[Key]):
    """A segment that was handed in. `tries` counts the pools that ended before it was done."""

    key: Key
    segment: Segment
    tries: int = 0
    slot: Slot | None = None
    big: BigFile | None = None  # what a look at it has found; it may be read whole then

    @property
    def reading_seconds(self) -> float:
        """What reading its file earns beside decoding; each worker may have to read all of it."""
        if self.big is not None:
            stored, holes = self.big.stored_bytes, self.big.hole_bytes
            return stored / HASH_BYTES_PER_SECOND + holes / HOLE_BYTES_PER_SECOND
        return 0 if is_big(self.segment) else self.segment.size_bytes / HASH_BYTES_PER_SECOND


@dataclass(eq=False)
class _Task(Generic[Key]):
    """What a worker is given at once, and how long it may take."""

    parts: Sequence[_Part[Key]]
    seconds: float
    seen_running_at: float | None = None


@dataclass(eq=False)
class DecodePool(Generic[Key]):
    """Bounded by its user: hand in segments, collect answers, in any order.

    Raises NoWorkersError where no worker can be started; later that is an answer.

    `on_answer` is called from another thread whenever `collect` has something new. Samples come
    through shared memory while fewer than `slots` segments are out or their clips in use, and
    through a pipe otherwise. `share` lets the process that scores read that memory.
    `in_flight` counts segments handed in whose answers have not been collected.
    """

    workers: int
    timeout_seconds: float
    on_answer: Callable[[], None] = lambda: None
    slots: int = 0
    share: Callable[[SlotBuffer], None] = lambda _: None
    in_flight: int = 0

    def __post_init__(self) -> None:
        self.workers = self.workers or usable_cores()
        self._tasks: dict[Future[list[Result]], _Task[Key]] = {}  # what the present pool was given
        self._done: SimpleQueue[Future[list[Result]]] = SimpleQueue()
        self._answers: deque[tuple[Key, Answer]] = deque()
        self._alone_until = -math.inf
        self._last_heartbeat = time.monotonic()
        self._stderr = stderr_folder()
        self._stderr_path = None if self._stderr is None else Path(self._stderr.name)
        self._big_files: DecodePool[Key] | None = None  # from the first one on
        try:
            self._pool = self._new_pool()
        except (OSError, RuntimeError) as error:
            raise NoWorkersError(f"{NO_WORKERS}: {error.__cause__ or error}") from error

    def submit(self, key: Key, segment: Segment) -> None:
        self.submit_all([(key, segment)])

    def submit_all(self, segments: Sequence[tuple[Key, Segment]]) -> None:
        """Short files go to a worker several at once, where that leaves enough for the others."""
        self.in_flight += len(segments)
        parts = [_Part(key, segment) for key, segment in segments]
        may_bundle = time.monotonic() >= self._alone_until
        for some in _bundles(parts, len(parts) // self.workers if may_bundle else 1):
            self._submit_task(some)

    def collect(self) -> list[tuple[Key, Answer]]:
        """What has been answered since the last call; never waits."""
        while not self._done.empty():
            self._settle(self._done.get())
        self._revive()
        self._collect_big_files()
        answers = list(self._answers)
        self._answers.clear()
        self.in_flight -= len(answers)
        return answers

    def wait(self) -> tuple[Key, Answer]:
        """The next answer, waiting for it."""
        while not self._answers:
            try:
                self._settle(self._done.get(timeout=POLL_SECONDS))
            except Empty:
                self._revive()
            self._collect_big_files()
        self.in_flight -= 1
        return self._answers.popleft()

    def call(
        self,
        done: Callable[[Future[Any]], None],
        seconds: float,
        work: Callable[..., Any],
        *arguments: object,
    ) -> bool:
        """Does other work in a worker, with its limits; `done` gets what came of it, if anything.

        It is called from another thread, and before `on_answer`. False: a pool that was given up
        does nothing, the next file to be decoded renews it.
        """
        with contextlib.suppress(RuntimeError):
            task = (seconds, work, *arguments)
            future = self._pool.schedule(within, task, timeout=seconds)
            future.add_done_callback(self._note_heartbeat)  # what waits behind is not stuck
            future.add_done_callback(done)
            future.add_done_callback(lambda _: self.on_answer())
            return True
        return False

    @property
    def max_silence_seconds(self) -> float:
        """The longest that it may go without any answer, with what it was handed now."""
        return MAX_TRIES * (max(self._deadlines, default=self.timeout_seconds) + STUCK_SECONDS)

    def slow(self) -> list[tuple[Key, float]]:
        """What workers have been busy with for SLOW_SECONDS or more, and for how long.

        From the first call on that finds a worker busy with it.
        """
        now, slow = time.monotonic(), []
        for future, task in self._tasks.items():
            if task.seen_running_at is None and future.running():
                task.seen_running_at = now
            seconds = 0.0 if task.seen_running_at is None else now - task.seen_running_at
            if seconds >= SLOW_SECONDS:
                slow += [(part.key, seconds) for part in task.parts]
        return slow + (self._big_files.slow() if self._big_files else [])

    @property
    def _deadlines(self) -> list[float]:
        own = [task.seconds for task in self._tasks.values()]
        return own + (self._big_files._deadlines if self._big_files else [])

    def _note_heartbeat(self, _: Future[Any]) -> None:
        self._last_heartbeat = time.monotonic()

    def close(self) -> None:
        """Kills what is still running."""
        if self._big_files is not None:
            self._big_files.close()
        self._stop()
        if self._stderr is not None:
            self._stderr.cleanup()

    def _stop(self) -> None:
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()

    def __enter__(self) -> DecodePool[Key]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _new_pool(self) -> WorkerPool:
        # Each has memory of its own: what workers of the one before may still write to is let go.
        self._slots = Slots(self.slots or SLOTS_OF_A_WORKER * self.workers, self.share)
        # Spawn: a fork of a process that runs threads or CUDA is not safe.
        pool = WorkerPool(
            self.workers,
            initializer=prepare_worker,
            initargs=(os.getpid(), self._stderr_path, self._slots.buffers),
            context=multiprocessing.get_context("spawn"),
        )
        # Ctrl-C is the daemon's to handle, also while a worker starts: it inherits what is blocked.
        resource_tracker.ensure_running()  # which ends with no signal blocked
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            pool.schedule(os.getpid)  # Pebble starts no worker before there is something to do
        except RuntimeError:
            pool.stop()  # type: ignore[no-untyped-call]
            pool.join()  # those that were started
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return pool

    def _submit_task(self, parts: Sequence[_Part[Key]]) -> None:
        limit = self.timeout_seconds
        seconds = limit if len(parts) == 1 else min(limit, BUNDLE_SECONDS)
        task = _Task(parts, seconds + sum(part.reading_seconds for part in parts))
        try:
            future = self._schedule(task)
        except RuntimeError:
            self._renew()
            try:
                future = self._schedule(task)
            except RuntimeError:
                self._answer_all(parts, machine_error(NO_WORKERS))
                return
        self._last_heartbeat = time.monotonic()
        self._tasks[future] = task
        future.add_done_callback(self._finished)

    def _schedule(self, task: _Task[Key]) -> Future[list[Result]]:
        tasks = []
        for part in task.parts:
            part.slot = self._slots.take(part.segment)
            place = part.slot.place if part.slot else None
            tasks.append(DecodeTask(part.segment, task.seconds, place, part.big is not None))
        return self._pool.schedule(decode_each, (tasks,), timeout=task.seconds)

    def _finished(self, future: Future[list[Result]]) -> None:
        self._last_heartbeat = time.monotonic()
        self._done.put(future)
        self.on_answer()

    def _settle(self, future: Future[list[Result]]) -> None:
        task = self._tasks.pop(future, None)
        if task is None:
            return  # from a pool that was given up
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or isinstance(error, BrokenProcessPool):
            # It never ran; or its worker lives, and writes to its slot.
            self._try_again(task.parts, machine_error(NO_WORKERS))
        elif error is not None:
            self._fail(task, error)
        else:
            for part, result in zip(task.parts, future.result(), strict=True):
                if isinstance(result, BigFile):
                    self._read_whole(part, result)
                else:
                    self._answers.append((part.key, _with_samples(result, part)))

    def _read_whole(self, part: _Part[Key], big: BigFile) -> None:
        """In one of half as many workers more, so that all others stay free for other files."""
        if part.slot is not None:
            part.slot.give_back()
        if self._big_files is None:
            try:
                self._big_files = DecodePool(
                    max(1, self.workers // 2),
                    self.timeout_seconds,
                    self.on_answer,
                    share=self.share,
                )
            except NoWorkersError as error:
                self._answer_all([part], machine_error(str(error)))
                return
        self._big_files.in_flight += 1
        self._big_files._submit_task([_Part(part.key, part.segment, big=big)])

    def _collect_big_files(self) -> None:
        if self._big_files is not None:
            self._answers += self._big_files.collect()

    def _answer_all(self, parts: Sequence[_Part[Key]], error: DecodingError) -> None:
        self._answers += ((part.key, error) for part in parts)

    def _try_again(self, parts: Sequence[_Part[Key]], error: DecodingError) -> None:
        """Not for ever, as whatever kills workers may not end; `error` is the answer then."""
        for part in parts:
            part.tries += 1
            if part.tries < MAX_TRIES:
                self._submit_task([part])
            else:
                self._answer_all([part], error)

    def _fail(self, task: _Task[Key], error: BaseException) -> None:
        """Its worker died, or was killed. Of several files nobody knows which one it was."""
        for part in task.parts:
            if part.slot is not None:
                part.slot.give_back()
        failure = failure_of(error, task.seconds, self._stderr_path)
        if may_be_out_of_time(error):
            self._try_again(task.parts, failure)  # in another worker, with all of its time
            return
        if len(task.parts) == 1:
            self._answer_all(task.parts, failure)
            return
        if failure.kind == "timeout":
            self._alone_until = time.monotonic() + ALONE_SECONDS
        for part in task.parts:
            self._submit_task([part])

    def _revive(self) -> None:
        """A worker that is killed while it holds the pool's lock leaves the others waiting."""
        if not self._tasks:
            return
        longest = max(task.seconds for task in self._tasks.values())
        is_stuck = time.monotonic() - self._last_heartbeat > longest + STUCK_SECONDS
        if is_stuck or not self._pool.active:
            self._renew()

    def _renew(self) -> None:
        """Pebble gives a pool up when a worker dies between two tasks; we begin another."""
        waiting = [future for future in self._tasks if not future.done()]
        orphans = [(self._tasks.pop(future), future.running()) for future in waiting]
        self._stop()
        with contextlib.suppress(OSError, RuntimeError):  # the next task tries again
            self._pool = self._new_pool()
        for task, had_begun in orphans:
            error = crash_error(None) if had_begun else machine_error(NO_WORKERS)
            self._try_again(task.parts, error)


def _bundles(parts: Sequence[_Part[Key]], max_parts: int) -> Iterator[Sequence[_Part[Key]]]:
    """Up to `max_parts` parts at a time, and BUNDLE_BYTES of what they probably decode to."""
    some: list[_Part[Key]] = []
    n_bytes = 0
    for part in parts:
        own_bytes = likely_bytes(part.segment)
        is_full = len(some) >= min(max_parts, BUNDLE_FILES) or n_bytes + own_bytes > BUNDLE_BYTES
        if some and is_full:
            yield some
            some, n_bytes = [], 0
        some.append(part)
        n_bytes += own_bytes
    if some:
        yield some


def _with_samples(result: Answer | SlotResult, part: _Part[Key]) -> Answer:
    """What was decoded, with its samples from wherever they are."""
    if not isinstance(result, SlotResult):
        if part.slot is not None:
            part.slot.give_back()
        return result
    assert part.slot is not None
    try:
        return replace(result.decoded, audio=part.slot.view(result.n_samples))
    except ValueError as error:
        return internal_error(error)
