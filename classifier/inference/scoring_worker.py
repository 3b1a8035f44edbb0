"""What runs in the process that scores: see `scoring_process`, which begins it.

    python -m classifier.inference.scoring_worker PARENT PIPE

On a CPU several batches are scored side by side; checkpoints are prepared beside them. It ends with
its parent, or when the pipe does.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from logging.handlers import QueueHandler
from multiprocessing import reduction
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

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

KEPT_BYTES = 256 * 2**20  # of memory that a batch has freed, for the next one


class ScoringWorker:
    """Questions are methods; what they return or raise is the answer."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._preparing = ThreadPoolExecutor(1, thread_name_prefix="prepare")
        self._scoring: ThreadPoolExecutor | None = None  # until the device is open
        self._models: dict[int, Predictor] = {}
        self._buffers: dict[int, ScorerSlotBuffer] = {}
        self._device: torch.device
        self._n_threads: int
        self._precision: str
        self._compilation: Compilation | None = None
        self._counting = threading.Lock()
        self._n_being_scored = 0  # batches

    def run(self) -> None:
        """Until whoever asks says so, or is gone."""
        with contextlib.suppress(EOFError, OSError):
            while True:
                number, what, arguments, forgotten = self._connection.recv()
                for kind, key in forgotten:
                    (self._models if kind == "model" else self._buffers).pop(key, None)
                match what:
                    case "open":
                        self._answer(number, self._open, *arguments)
                    case "share":
                        fd = reduction.recv_handle(self._connection)
                        self._answer(number, self._share, number, fd, *arguments)
                    case "load":
                        self._preparing.submit(self._answer, number, self._load, number, *arguments)
                    case "compile":
                        self._preparing.submit(self._answer, number, self._compile, *arguments)
                    case "score" if self._scoring is not None:
                        self._scoring.submit(self._answer, number, self._score, *arguments)
                    case "end":
                        break
        if self._compilation is not None:
            self._compilation.stop()
        os._exit(0)  # whatever is still being done

    def send(self, number: int | None, answer: object) -> None:
        with self._sending:
            self._connection.send((number, answer))

    def _answer(self, number: int, work: Callable[..., object], *arguments: object) -> None:
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

        from classifier.inference.batching import CPU_BATCHES
        from classifier.inference.compilation import Compilation
        from classifier.inference.compiled import CompiledNetworks
        from classifier.inference.device import describe_device, open_device

        gc.freeze()
        gc.enable()
        self._device = open_device(settings.device, settings.n_threads)
        self._n_threads, self._precision = torch.get_num_threads(), settings.precision
        if settings.compiled_folder is not None:
            networks = CompiledNetworks(settings.compiled_folder)
            self._compilation = Compilation(networks, settings.compile_when)
        kind = self._device.type
        n_batches = min(self._n_threads, CPU_BATCHES) if kind == "cpu" else 1
        self._scoring = ThreadPoolExecutor(n_batches, thread_name_prefix="score")
        return DeviceFacts(kind, describe_device(self._device), n_batches)

    def _share(self, number: int, fd: int, n_bytes: int, slot_bytes: int) -> bool | None:
        if self._scoring is None:
            os.close(fd)  # the device is not there, and nothing will be scored
            return None
        buffer = ScorerSlotBuffer(fd, n_bytes)
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

    def _score(
        self, model: int, places: Sequence[SharedClip | Samples], with_embeddings: bool
    ) -> ScoredBatch:
        from classifier.inference.device import memory_in_use

        began = time.perf_counter()
        clips = [self._clip(place) for place in places]
        with self._share_of_threads() as n_threads:
            found = self._models[model].answer(clips, n_threads, with_embeddings)
        seconds = time.perf_counter() - began
        memory = memory_in_use(self._device)
        return ScoredBatch(found.scores, seconds, memory, found.novelty, found.embeddings)

    @contextlib.contextmanager
    def _share_of_threads(self) -> Iterator[int]:
        """For one batch more. Each layer of a small network waits for all threads that share it,
        and they wait for cores that decode: two batches side by side, with a thread each, are
        scored faster than one after the other with two.
        """
        with self._counting:
            self._n_being_scored += 1
            n_threads = max(1, self._n_threads // self._n_being_scored)
        try:
            yield n_threads
        finally:
            with self._counting:
                self._n_being_scored -= 1

    def _clip(self, place: SharedClip | Samples) -> Samples:
        if not isinstance(place, SharedClip):
            return place
        return self._buffers[place.buffer].samples(place.first_byte, place.n_samples)

    def _compile(self, model: int, file: Path, clips_scored: int) -> str:
        predictor = self._models[model]
        if self._compilation is not None:
            self._compilation.step(predictor, file, clips_scored)
        return predictor.path


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
