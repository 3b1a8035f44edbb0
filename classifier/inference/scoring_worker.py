"""What runs in the process that scores: see `scoring_process`, which begins it.

    python -m classifier.inference.scoring_worker PARENT PIPE

Batches are scored one after the other, checkpoints are prepared beside them. It ends with its
parent, or when the pipe does.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from logging.handlers import QueueHandler
from multiprocessing import reduction
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, ClassVar

from classifier.audio.samples import Samples
from classifier.errors import ClassifierError, one_line
from classifier.inference.scoring_process import (
    DeviceFacts,
    LoadedFacts,
    ScoredBatch,
    ScoringSettings,
    SharedClip,
)
from classifier.workers.malloc import keep_freed_memory, share_one_arena
from classifier.workers.process import die_with_parent
from classifier.workers.shared_memory import SMALL_BYTES, ScorerSlotBuffer

if TYPE_CHECKING:
    import torch

    from classifier.inference.compilation import Compilation
    from classifier.inference.predictor import Predictor

OTHER_SECONDS = 0.0015  # of a core for a clip of a WAV file: decoding, bookkeeping
KEPT_BYTES = 256 * 2**20  # of memory that a batch has freed, for the next one

Request = tuple[int, Callable[..., Any], Sequence[Any]]


class ScoringWorker:
    """Questions are methods; what they return or raise is the answer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._requests: SimpleQueue[Request] = SimpleQueue()
        self._background = ThreadPoolExecutor(1, thread_name_prefix="prepare")
        self._models: dict[int, Predictor] = {}
        self._buffers: dict[int, ScorerSlotBuffer] = {}
        self._device: torch.device
        self._is_open = False
        self._n_threads: int
        self._are_threads_set: bool
        self._precision: str
        self._compilation: Compilation | None = None

    def run(self) -> None:
        threading.Thread(target=self._read, name="questions", daemon=True).start()
        while True:
            self._answer(*self._requests.get())

    def send(self, number: int | None, answer: object) -> None:
        with self._sending:
            self._connection.send((number, answer))

    def _read(self) -> None:
        """Also while a batch is scored: whoever asks must not wait for that."""
        while True:
            try:
                number, what, arguments, forgotten = self._connection.recv()
                if what == "share":
                    arguments = (number, reduction.recv_handle(self._connection), *arguments)
            except (EOFError, OSError):
                what = "end"
            if what == "end":
                if self._compilation is not None:
                    self._compilation.stop()
                os._exit(0)
            if forgotten:
                self._requests.put((number, ScoringWorker._forget, (self, forgotten)))
            if what in self._IN_BACKGROUND:
                work = self._IN_BACKGROUND[what]
                self._background.submit(self._answer, number, work, (self, number, *arguments))
            else:
                self._requests.put((number, self._IN_TURN[what], (self, *arguments)))

    def _answer(self, number: int, work: Callable[..., Any], arguments: Sequence[Any]) -> None:
        """Sends what comes of the work, if anything does."""
        try:
            answer = work(*arguments)
        except ClassifierError as error:
            answer = error
        except Exception as error:  # whose class may be one that no pipe takes
            answer = RuntimeError(f"{type(error).__name__}: {one_line(error)}")
        if answer is not None:
            self.send(number, answer)

    def _open(self, settings: ScoringSettings) -> DeviceFacts:
        gc.disable()  # while modules are loaded there is nothing to collect
        import torch

        from classifier.inference.compilation import Compilation
        from classifier.inference.compiled import CompiledNetworks
        from classifier.inference.device import describe_device, open_device

        gc.freeze()
        gc.enable()
        self._device = open_device(settings.device, settings.n_threads)
        self._n_threads, self._are_threads_set = torch.get_num_threads(), settings.n_threads > 0
        self._precision, self._is_open = settings.precision, True
        if settings.compiled_folder is not None:
            networks = CompiledNetworks(settings.compiled_folder)
            self._compilation = Compilation(networks, settings.compile_when)
        return DeviceFacts(self._device.type, describe_device(self._device))

    def _share(self, number: int, fd: int, n_bytes: int, slot_bytes: int) -> bool | None:
        if not self._is_open:
            os.close(fd)  # the device is not there, and nothing will be scored
            return None
        buffer = ScorerSlotBuffer(fd, n_bytes, slot_bytes)
        if self._device.type == "cuda" and slot_bytes == SMALL_BYTES:
            buffer.pin(self._device)
        self._buffers[number] = buffer
        return True

    def _load(self, number: int, file: Path) -> LoadedFacts:
        from classifier.inference.prepare import load_predictor

        predictor = load_predictor(file, self._device, self._precision, self._n_threads)
        if self._compilation is not None:
            self._compilation.use_compiled(predictor)
        self._models[number] = predictor
        about = predictor.precision, predictor.canary_error, predictor.path
        return LoadedFacts(number, predictor.checkpoint.facts, *about)

    def _score(self, model: int, places: Sequence[SharedClip | Samples]) -> ScoredBatch:
        from classifier.inference.device import memory_in_use

        predictor, began, cpu_began = self._models[model], time.perf_counter(), time.process_time()
        scores = predictor.score([self._clip(place) for place in places])
        if not self._are_threads_set:
            cpu_seconds = (time.process_time() - cpu_began) / len(places)
            predictor.n_threads = fitting_threads(self._n_threads, cpu_seconds)
        seconds = time.perf_counter() - began
        return ScoredBatch(scores, seconds, memory_in_use(self._device))

    def _clip(self, place: SharedClip | Samples) -> Samples:
        if not isinstance(place, SharedClip):
            return place
        return self._buffers[place.buffer].samples(place.first_byte, place.n_samples)

    def _compile(self, _: int, model: int, file: Path, clips_scored: int) -> str:
        predictor = self._models[model]
        if self._compilation is not None:
            self._compilation.step(predictor, file, clips_scored)
        return predictor.path

    def _forget(self, forgotten: Sequence[tuple[str, int]]) -> None:
        for kind, number in forgotten:
            (self._models if kind == "model" else self._buffers).pop(number, None)

    _IN_TURN: ClassVar[Mapping[str, Callable[..., Any]]] = {
        "open": _open,
        "share": _share,
        "score": _score,
    }
    _IN_BACKGROUND: ClassVar[Mapping[str, Callable[..., Any]]] = {
        "load": _load,
        "compile": _compile,
    }


def fitting_threads(n_cores: int, cpu_seconds: float) -> int:
    """As many as the share of all the work that scoring is, where a clip takes so long to score.

    Each layer of a small network waits for all of its threads, and they wait for cores that are
    busy with decoding: on two cores 620 WAV files a second with one thread, and 555 with two.
    """
    return max(1, round(n_cores * cpu_seconds / (cpu_seconds + OTHER_SECONDS)))


class RecordSender(QueueHandler):
    """Log records are the parent's to write."""

    def __init__(self, worker: ScoringWorker) -> None:
        super().__init__(SimpleQueue())
        self._worker = worker

    def enqueue(self, record: logging.LogRecord) -> None:
        self._worker.send(None, record)


def main(parent: str, pipe: str) -> None:
    die_with_parent(int(parent))
    for number in (signal.SIGINT, signal.SIGTERM):  # the parent's to handle
        signal.signal(number, signal.SIG_IGN)
    share_one_arena()
    keep_freed_memory(KEPT_BYTES)
    worker = ScoringWorker(Connection(int(pipe)))
    logger = logging.getLogger("classifier")
    logger.setLevel(logging.INFO)
    logger.addHandler(RecordSender(worker))
    worker.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
