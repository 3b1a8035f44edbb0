"""Networks in a process of their own, which scores batches while its caller does other work.

The caller loads no torch: it hands batches in and takes scores when they are there. Samples that
lie in shared memory are scored where they lie; others go through the pipe. Whatever a network does
to its process, a caller sees it end, and begins another.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import multiprocessing
import os
import subprocess
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing import reduction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from classifier.audio.samples import Samples
from classifier.errors import ClassifierError, NoWorkersError
from classifier.inference.pooling import Embeddings, Novelties, Scores
from classifier.model.checkpoint_facts import CheckpointFacts
from classifier.workers.process import PACKAGES
from classifier.workers.shared_memory import SlotBuffer

logger = logging.getLogger(__name__)

END_SECONDS = 5.0  # for a process that was asked to end
MAX_STARTS = 3  # of processes in a row that die before they have a device


class ScoringProcessDied(ClassifierError):
    """The process that scores has ended by itself; another one can be begun."""

    def __init__(self) -> None:
        super().__init__("the process that scores has died; see the system's log")


@dataclass(frozen=True)
class ScoringSettings:
    """`n_threads` 0 is what torch takes by itself. Compiled networks are kept in a folder."""

    device: str = "auto"
    precision: str = "auto"
    n_threads: int = 0
    compile_when: str = "never"
    compiled_folder: Path | None = None


class DeviceFacts(NamedTuple):
    """`kind` is cpu, cuda or mps; `description` is for people; `n_batches` are scored at once."""

    kind: str
    description: str
    n_batches: int


class SharedClip(NamedTuple):
    """Where a clip of `n_samples` lies: the number of a buffer, and the first byte in it."""

    buffer: int
    first_byte: int
    n_samples: int


class LoadedFacts(NamedTuple):
    """What became of a checkpoint file that was loaded under a number."""

    number: int
    checkpoint: CheckpointFacts
    precision: str
    canary_error: float
    path: str


class ScoredBatch(NamedTuple):
    """Scores (B, L), what scoring them took, and what is allocated on a GPU since.

    Novelty (B,) where the checkpoint knows it, embeddings (B, C) where they were asked for.
    """

    scores: Scores
    seconds: float
    device_memory_bytes: int | None
    novelty: Novelties | None = None
    embeddings: Embeddings | None = None


class RemotePredictor:
    """A checkpoint that is ready to score in another process, until nobody refers to it."""

    def __init__(self, process: ScoringProcess, facts: LoadedFacts) -> None:
        self._process = process
        self._number = facts.number
        self.checkpoint = facts.checkpoint
        self.precision = facts.precision
        self.canary_error = facts.canary_error
        self.path = facts.path
        weakref.finalize(self, process.forget_model, facts.number).atexit = False

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive

    def submit(
        self, clips: Sequence[Samples], with_embeddings: bool = False
    ) -> Future[ScoredBatch]:
        """B clips (S,) to probabilities (B, L); those in shared memory stay as they are till then.

        The future raises ScoringProcessDied where the process ends before.
        """
        places = [self._process.place_of(clip) for clip in clips]
        return self._process.ask("score", self._number, places, with_embeddings)

    def compile_if_worthwhile(self, file: Path, clips_scored: int) -> None:
        """In the background; `clips_scored` by this checkpoint's daemon in all."""
        done = self._process.ask("compile", self._number, file, clips_scored)
        done.add_done_callback(self._note_path)

    def _note_path(self, path: Future[str]) -> None:
        if path.exception() is None:
            self.path = path.result()


class ScoringProcess:
    """One process. `on_answer` is called, from another thread, with each answer and at its end."""

    def __init__(
        self,
        settings: ScoringSettings,
        numbers: itertools.count[int],
        on_answer: Callable[[], None],
    ) -> None:
        """`numbers` go on from one process to the next. Raises OSError and RuntimeError."""
        self._numbers = numbers
        self._on_answer = on_answer
        self._sending = threading.Lock()
        self._futures: dict[int, Future[Any]] = {}
        self._buffers: weakref.WeakKeyDictionary[SlotBuffer, int] = weakref.WeakKeyDictionary()
        self._mapped: set[int] = set()  # numbers of buffers that the process can read
        self._forgotten: deque[tuple[str, int]] = deque()  # models and buffers nobody refers to
        self.is_alive = True
        self._connection, theirs = multiprocessing.Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "classifier.inference.scoring_worker"),
                    *(str(os.getpid()), str(theirs.fileno())),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd=PACKAGES,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is the caller's to handle
            )
        self._reader = threading.Thread(target=self._take_answers, name="scores", daemon=True)
        self._reader.start()
        self.device: Future[DeviceFacts] = self.ask("open", settings)

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, what: str, *arguments: object) -> Future[Any]:
        """The answer raises what the work raised, or ScoringProcessDied."""
        future: Future[Any] = Future()
        number = next(self._numbers)
        with self._sending:
            if not self.is_alive:
                future.set_exception(ScoringProcessDied())
                return future
            self._futures[number] = future
            self._send(number, what, arguments)
        return future

    def share(self, buffer: SlotBuffer) -> None:
        """Lets the process read what lies in a buffer, as long as that is in use."""
        number = next(self._numbers)
        with self._sending:
            self._buffers[buffer] = number
            weakref.finalize(buffer, self._forgotten.append, ("buffer", number)).atexit = False
            self._send(number, "share", (buffer.n_bytes, buffer.slot_bytes))
            with contextlib.suppress(OSError):
                reduction.send_handle(self._connection, buffer.fd, self.pid)

    def place_of(self, clip: Samples) -> SharedClip | Samples:
        """Where it lies in shared memory; the clip itself where it lies elsewhere."""
        address = clip.ctypes.data
        for buffer, number in self._buffers.items():
            first_byte = address - buffer.address
            lies_there = 0 <= first_byte < buffer.n_bytes and clip.flags.c_contiguous
            if lies_there and number in self._mapped:
                return SharedClip(number, first_byte, len(clip))
        return np.ascontiguousarray(clip)

    def forget_model(self, number: int) -> None:
        """Told with the next question: whoever collects garbage may be asking just now."""
        self._forgotten.append(("model", number))

    def close(self) -> None:
        """Ends it, with what it was busy with."""
        if not self.device.done():  # it loads modules, and would not listen
            self._process.kill()
        self.ask("end")
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._connection.close()

    def _send(self, number: int, what: str, arguments: tuple[object, ...]) -> None:
        forgotten = [self._forgotten.popleft() for _ in range(len(self._forgotten))]
        with contextlib.suppress(OSError):  # it has died, which is seen where answers are taken
            self._connection.send((number, what, arguments, forgotten))

    def _take_answers(self) -> None:
        """Until the process ends: what its answers say, and its log records."""
        try:
            while True:
                self._take(*self._connection.recv())
                self._on_answer()
        except (EOFError, OSError):
            pass
        finally:  # after a fault of ours too: nobody would take the next answer
            with self._sending:
                self.is_alive = False
            for future in list(self._futures.values()):
                future.set_exception(ScoringProcessDied())
            self._on_answer()

    def _take(self, number: int | None, answer: object) -> None:
        if isinstance(answer, logging.LogRecord):
            if logging.getLogger(answer.name).isEnabledFor(answer.levelno):
                logging.getLogger(answer.name).handle(answer)
            return
        assert number is not None, "only log records have none"
        future = self._futures.pop(number, None)
        if future is None and answer is True:
            self._mapped.add(number)
        elif future is None:
            logger.warning("samples go to the process that scores through a pipe: %s", answer)
        elif isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result(answer)


class ScoringProcesses:
    """One at a time: where the last one has ended, loading a checkpoint begins another."""

    def __init__(
        self, settings: ScoringSettings, on_answer: Callable[[], None] = lambda: None
    ) -> None:
        """Raises NoWorkersError where no process can be started."""
        self._settings = settings
        self._on_answer = on_answer
        self._numbers = itertools.count()
        self._buffers: weakref.WeakSet[SlotBuffer] = weakref.WeakSet()
        self._beginning = threading.Lock()
        self._process = self._begin()

    @property
    def device(self) -> DeviceFacts:
        """Waits for it. Raises DeviceError, and NoWorkersError."""
        return self._with_device().device.result()

    @property
    def pid(self) -> int:
        return self._process.pid

    def share(self, buffer: SlotBuffer) -> None:
        """With this process, and with those that may come after it."""
        with self._beginning:
            self._buffers.add(buffer)
            self._process.share(buffer)

    def load(self, file: Path) -> RemotePredictor:
        """Waits until it is ready.

        Raises CheckpointError, DeviceBusyError, DeviceError and NoWorkersError, and
        ScoringProcessDied where the process died meanwhile.
        """
        process = self._with_device()
        return RemotePredictor(process, process.ask("load", file.absolute()).result())

    def close(self) -> None:
        self._process.close()

    def __enter__(self) -> ScoringProcesses:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _with_device(self) -> ScoringProcess:
        """A living one. Where one dies before it has its device, no checkpoint is to blame."""
        for _ in range(MAX_STARTS):
            with self._beginning:
                if not self._process.is_alive:
                    self._process.close()
                    self._process = self._begin()
                    for buffer in list(self._buffers):
                        self._process.share(buffer)
                process = self._process
            with contextlib.suppress(ScoringProcessDied):
                process.device.result()  # or why it cannot be used
                if process.is_alive:
                    return process
        raise NoWorkersError("the process that scores dies while it starts; see the system's log")

    def _begin(self) -> ScoringProcess:
        try:
            return ScoringProcess(self._settings, self._numbers, self._on_answer)
        except (OSError, RuntimeError) as error:
            raise NoWorkersError(
                f"the process that scores cannot be started: {error}; look at the limits on open"
                " files, memory and processes"
            ) from error
