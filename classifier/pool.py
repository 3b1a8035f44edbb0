"""Decoding in worker processes that can be killed.

Pebble's pool has what the standard library's lack: a deadline per task that kills the worker, and
the name of the task that a dead worker was busy with.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import CancelledError, Future, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from pebble import ProcessExpired, ProcessPool

from classifier.decoding import Decoded, Stretch
from classifier.errors import DecodingError, FileChanged
from classifier.slab import Slot, make_slab
from classifier.worker import Left, decode_within, folder_for_words, prepare_worker, words_of

Key = TypeVar("Key", bound=Hashable)
Answer = Decoded | DecodingError | FileChanged
Result = Decoded | Left

HASH_BYTES_PER_SECOND = 10e6  # a slow share; a big file may take that long to be read once
MAX_TRIES = 3  # of a task that was waiting when a worker died with another one, or with none
LOOK_SECONDS = 0.1
SLOTS_OF_A_WORKER = 8
STUCK_SECONDS = 10.0  # past every deadline without a sign of life


@dataclass(eq=False)
class _Task(Generic[Key]):
    key: Key
    stretch: Stretch
    seconds: float
    tries: int = 0
    slot: Slot | None = None


class DecodePool(Generic[Key]):
    """Bounded by its user: hand in stretches, collect answers, in any order.

    `on_answer` is called from another thread whenever `collect` has something new. Samples come
    through shared memory while fewer than `slots` stretches are out or their clips in use, and
    through a pipe otherwise.
    """

    def __init__(
        self,
        workers: int,
        timeout_seconds: float,
        on_answer: Callable[[], None] = lambda: None,
        slots: int = 0,
    ) -> None:
        self._workers = workers or os.cpu_count() or 1
        self._timeout_seconds = timeout_seconds
        self._on_answer = on_answer
        self._slots = slots or SLOTS_OF_A_WORKER * self._workers
        self._tasks: dict[Future[Result], _Task[Key]] = {}  # what the present pool was given
        self._done: SimpleQueue[Future[Result]] = SimpleQueue()
        self._answers: deque[tuple[Key, Answer]] = deque()
        self._in_flight = 0
        self._last_sign = time.monotonic()
        self._words = folder_for_words()
        self._pool = self._new_pool()

    @property
    def in_flight(self) -> int:
        """Stretches handed in whose answers have not been collected."""
        return self._in_flight

    @property
    def workers(self) -> int:
        return self._workers

    def submit(self, key: Key, stretch: Stretch) -> None:
        self._in_flight += 1
        seconds = self._timeout_seconds + stretch.size_bytes / HASH_BYTES_PER_SECOND
        self._hand_in(_Task(key, stretch, seconds))

    def collect(self) -> list[tuple[Key, Answer]]:
        """What has been answered since the last call; never waits."""
        while not self._done.empty():
            self._settle(self._done.get())
        self._revive()
        answers = list(self._answers)
        self._answers.clear()
        self._in_flight -= len(answers)
        return answers

    def wait(self) -> tuple[Key, Answer]:
        """The next answer, waiting for it."""
        while not self._answers:
            try:
                self._settle(self._done.get(timeout=LOOK_SECONDS))
            except Empty:
                self._revive()
        self._in_flight -= 1
        return self._answers.popleft()

    def close(self) -> None:
        """Kills what is still running."""
        self._stop()
        if self._words is not None:
            self._words.cleanup()

    def _stop(self) -> None:
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()

    @property
    def _words_folder(self) -> Path | None:
        return None if self._words is None else Path(self._words.name)

    def __enter__(self) -> DecodePool[Key]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _new_pool(self) -> ProcessPool:
        # Each has memory of its own: what workers of the one before may still write to is let go.
        self._slab = make_slab(self._slots)
        # Spawn: a fork of a process that runs threads or CUDA is not safe.
        pool = ProcessPool(
            self._workers,
            initializer=prepare_worker,
            initargs=(os.getpid(), self._words_folder, self._slab),
            context=multiprocessing.get_context("spawn"),
        )
        pool.schedule(os.getpid)  # Pebble starts no worker before there is something to do
        return pool

    def _hand_in(self, task: _Task[Key]) -> None:
        task.tries += 1
        try:
            future = self._schedule(task)
        except RuntimeError:
            self._renew()
            future = self._schedule(task)
        self._last_sign = time.monotonic()
        self._tasks[future] = task
        future.add_done_callback(self._finished)

    def _schedule(self, task: _Task[Key]) -> Future[Result]:
        task.slot = self._slab.take() if self._slab else None
        number = task.slot.number if task.slot else None
        return self._pool.schedule(
            decode_within, (task.stretch, task.seconds, number), timeout=task.seconds
        )

    def _finished(self, future: Future[Result]) -> None:
        self._last_sign = time.monotonic()
        self._done.put(future)
        self._on_answer()

    def _settle(self, future: Future[Result]) -> None:
        task = self._tasks.pop(future, None)
        if task is None:
            return  # the last word of a pool that was given up
        if _is_innocent(future) and task.tries < MAX_TRIES:
            self._hand_in(task)
        else:
            self._answers.append((task.key, self._answer(future, task)))

    def _revive(self) -> None:
        if self._tasks and (self._is_stuck() or not self._pool.active):
            self._renew()

    def _is_stuck(self) -> bool:
        """A worker that is killed while it holds the pool's lock leaves the others waiting."""
        longest = max(task.seconds for task in self._tasks.values())
        return time.monotonic() - self._last_sign > longest + STUCK_SECONDS

    def _renew(self) -> None:
        """Pebble gives a pool up when a worker dies between two tasks; we begin another."""
        waiting = [future for future in self._tasks if not future.done()]
        orphans = [self._tasks.pop(future) for future in waiting]
        self._stop()
        self._pool = self._new_pool()
        for task in orphans:
            if task.tries < MAX_TRIES:
                self._hand_in(task)
            else:
                self._answers.append((task.key, _died(None)))

    def _answer(self, done: Future[Result], task: _Task[Key]) -> Answer:
        try:
            result = done.result()
        except (BrokenProcessPool, CancelledError):
            return _died(None)  # its worker may live, and go on writing to its slot
        except Exception as error:
            if task.slot is not None:
                task.slot.give_back()
            return self._failure(error, task.seconds)
        return _with_samples(result, task.slot)

    def _failure(self, error: Exception, seconds: float) -> Answer:
        """What a worker answered, or died of."""
        if isinstance(error, DecodingError | FileChanged):
            return error
        if isinstance(error, TimeoutError):
            return _took_too_long(seconds)
        if isinstance(error, ProcessExpired):
            words = words_of(self._words_folder, error.pid)
            if error.exitcode == -signal.SIGXCPU:
                return _took_too_long(seconds)
            return _died(error.exitcode).with_words(words)
        return _internal(error)  # a fault of ours must cost one file, not the daemon


def _with_samples(result: Result, slot: Slot | None) -> Answer:
    """What was decoded, with its samples from wherever they are."""
    if not isinstance(result, Left):
        if slot is not None:
            slot.give_back()
        return result
    assert slot is not None
    try:
        return replace(result.decoded, audio=slot.look(result.n_samples))
    except ValueError as error:
        return _internal(error)


def _internal(error: Exception) -> DecodingError:
    return DecodingError("internal", f"unexpected {type(error).__name__}: {error}")


def _is_innocent(done: Future[Result]) -> bool:
    """Whether the task never ran: its pool was given up before a worker took it."""
    return done.cancelled() or isinstance(done.exception(), BrokenProcessPool)


def _died(exit_code: int | None) -> DecodingError:
    return DecodingError(
        "worker_died",
        f"the decoder crashed or was killed on this file (exit {exit_code}); "
        "it is probably damaged",
        transient=True,
    )


def _took_too_long(seconds: float) -> DecodingError:
    return DecodingError(
        "timeout",
        f"decoding took longer than {seconds:.0f} s and was stopped; "
        "the file is probably damaged, else raise engine.decode_timeout_seconds",
    )
