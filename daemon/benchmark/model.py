"""What log-mel and network cost alone, and what the device could do at best."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from classifier.inference.predictor import DTYPES, Predictor
from classifier.model.checkpoint import Checkpoint
from daemon.benchmark.figures import LOG_MEL, NETWORK

MODEL_SECONDS = 1.0
PEAK_SECONDS = 0.5
CPU_SIDE, GPU_SIDE = 1024, 8192  # rows and columns of the matrices


class Timekeeper:
    """Seconds of work: of the processor where it does it, else on the clock, waited for."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def now(self) -> float:
        if self._device.type == "cpu":
            return time.process_time()
        getattr(torch, self._device.type).synchronize()
        return time.perf_counter()


class TimedPredictor(Predictor):
    """Tells its two stages apart while it scores, in the very portions in which it does so."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, precision: str) -> None:
        self._timekeeper = Timekeeper(device)
        self.seconds: defaultdict[str, float] = defaultdict(float)
        super().__init__(checkpoint, device, precision)

    def spectrograms(self, clips: Tensor) -> Tensor:
        with self._timed(LOG_MEL):
            return super().spectrograms(clips)

    def logits(self, spectrograms: Tensor) -> Tensor:
        with self._timed(NETWORK):
            return super().logits(spectrograms)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began = self._timekeeper.now()
        yield
        self.seconds[stage] += self._timekeeper.now() - began


def model_ms(predictor: TimedPredictor, clips: npt.NDArray[np.float32]) -> dict[str, float]:
    """Milliseconds per clip of each stage, for batches like `clips` (B, S): the median of some."""
    rounds: defaultdict[str, list[float]] = defaultdict(list)
    end = time.perf_counter() + MODEL_SECONDS
    while not rounds or time.perf_counter() < end:
        predictor.seconds.clear()
        predictor.score(clips)
        for stage, seconds in predictor.seconds.items():
            rounds[stage].append(seconds)
    return {stage: 1000 * median(each) / len(clips) for stage, each in rounds.items()}


def peak_gflops(device: torch.device, precision: str) -> float:
    """Billions of operations a second in products of large matrices: the fastest of some."""
    side = CPU_SIDE if device.type == "cpu" else GPU_SIDE
    left, right = torch.randn(2, side, side, device=device).to(DTYPES[precision])
    fastest, end = _seconds(lambda: left @ right, device), time.perf_counter() + PEAK_SECONDS
    while time.perf_counter() < end:
        fastest = min(fastest, _seconds(lambda: left @ right, device))
    return float(2 * side**3 / fastest / 1e9)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    timekeeper = Timekeeper(device)
    began = timekeeper.now()
    work()
    return timekeeper.now() - began
