"""What each stage costs alone, for one checkpoint on one device.

A cost is the CPU time of a clip in one process on one core. Such costs can be added: a machine that
did only the stages, on all its cores and without waiting, would reach `cores / sum` clips a second.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from classifier.inference.compiled import CompiledNetworks
from classifier.inference.device import threads
from classifier.inference.predictor import DTYPES, Predictor
from classifier.model.checkpoint import Checkpoint
from classifier.model.flops import gflop_per_clip
from classifier.workers.process import temporary_folder
from daemon.benchmark.decoding import ClipGrid, DecodingCost, measure_decoding
from daemon.pipeline.compilation import Compilation
from daemon.pipeline.model_manager import hop_samples
from storage.home.temp_home import temporary_home
from storage.ledger.ledger import Ledger, open_ledger
from storage.ledger.outcomes import Arrival, AudioFacts, Claim, Scored
from storage.settings.schema import EngineSettings

DECODE, RESAMPLE, LOG_MEL, NETWORK, LEDGER = "decode", "resample", "log-mel", "network", "ledger"
STAGES = (DECODE, RESAMPLE, LOG_MEL, NETWORK, LEDGER)
MODEL_SECONDS, PEAK_SECONDS = 1.0, 0.5
CPU_SIDE, GPU_SIDE = 1024, 8192  # rows and columns of the matrices
LEDGER_ROWS, LEDGER_CLIP_SECONDS = 1024, 5.0


@dataclass(frozen=True)
class StageCosts:
    """Milliseconds per clip of each stage; with `on_gpu` log-mel and network run on a GPU.

    The time of a GPU is read from a clock, since it has no CPU time.
    """

    stages: Mapping[str, float]
    on_gpu: bool = False

    @property
    def core_ms(self) -> float:
        """The sum of the stages that run on the processor."""
        return sum(self.stages.values()) - self.gpu_ms

    @property
    def gpu_ms(self) -> float:
        return self.stages[LOG_MEL] + self.stages[NETWORK] if self.on_gpu else 0.0

    def limit(self, cores: int) -> float:
        """Clips a second that the stages allow on this number of cores and one GPU."""
        return 1000 / max(self.core_ms / cores, self.gpu_ms)


@dataclass(frozen=True)
class ModelFacts:
    """How fast the network is on one core, or on the GPU, and the most that this could do."""

    checkpoint: str
    device: str
    precision: str
    path: str
    clip_seconds: float
    gflop_per_clip: float
    gflops: float
    peak_gflops: float


class StageBenchmark:
    """Measures the costs; those that are the same for every file are measured once.

    `compiled` is a folder of compiled networks, of which this checkpoint's is used.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: torch.device,
        engine: EngineSettings,
        compiled: Path | None = None,
    ) -> None:
        self._checkpoint, self._device, self._engine = checkpoint, device, engine
        with threads(1):  # more would still spin, and use CPU time, while stages are measured
            self._predictor = TimedPredictor(checkpoint, device, engine.precision)
        if compiled:
            Compilation(CompiledNetworks(compiled), "auto").adopt(self._predictor)
        self._model_ms: dict[str, float] = {}
        self._ledger_ms = 0.0

    def costs(self, files: Sequence[Path], seconds: float) -> StageCosts | None:
        """Per clip of these files, as many of them as are decoded in this number of seconds.

        The files are touched: they must be copies. None where none of them can be decoded.
        """
        audio, batch = self._checkpoint.audio_format, self._engine.batch_clips
        hop = hop_samples(self._checkpoint, self._engine.overlap_seconds)
        grid = ClipGrid(audio.sample_rate_hz, audio.clip_samples, hop)
        with threads(1):
            decoding = measure_decoding(files, grid, seconds, batch)
            if not decoding.clips:
                return None
            if not self._model_ms:
                clips = np.resize(np.concatenate(decoding.examples), (batch, audio.clip_samples))
                self._model_ms = model_ms(self._predictor, clips)
                self._ledger_ms = ledger_ms(self._checkpoint.labels, batch)
        return self._sum(decoding)

    def model_facts(self) -> ModelFacts:
        """After `costs`."""
        about, precision = self._checkpoint.description, self._predictor.precision
        gflop = gflop_per_clip(about.audio_format, about.network, len(about.labels))
        with threads(1):
            peak = peak_gflops(self._device, precision)
        return ModelFacts(
            checkpoint=self._checkpoint.name,
            device=self._device.type,
            precision=precision,
            path=self._predictor.path,
            clip_seconds=about.audio_format.clip_seconds,
            gflop_per_clip=gflop,
            gflops=1000 * gflop / self._model_ms[NETWORK],
            peak_gflops=peak,
        )

    def _sum(self, decoding: DecodingCost) -> StageCosts:
        stages = {
            DECODE: decoding.decode_ms,
            RESAMPLE: decoding.resample_ms,
            **self._model_ms,
            LEDGER: self._ledger_ms * decoding.recordings / decoding.clips,
        }
        return StageCosts(stages, on_gpu=self._device.type != "cpu")


class TimedPredictor(Predictor):
    """Measures log-mel and network apart while it scores, in the batches that the daemon uses."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, precision: str) -> None:
        self._timed_device = device
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
        began = _now(self._timed_device)
        yield
        self.seconds[stage] += _now(self._timed_device) - began


def model_ms(predictor: TimedPredictor, clips: npt.NDArray[np.float32]) -> dict[str, float]:
    """Milliseconds per clip of log-mel and network, for batches like `clips` (B, S): the median."""
    rounds: defaultdict[str, list[float]] = defaultdict(list)
    end = time.perf_counter() + MODEL_SECONDS
    while not rounds or time.perf_counter() < end:
        predictor.seconds.clear()
        predictor.score(clips)
        for stage, seconds in predictor.seconds.items():
            rounds[stage].append(seconds)
    return {stage: 1000 * median(each) / len(clips) for stage, each in rounds.items()}


def peak_gflops(device: torch.device, precision: str) -> float:
    """10^9 operations a second in the fastest of some products of large matrices."""
    side = CPU_SIDE if device.type == "cpu" else GPU_SIDE
    left, right = torch.randn(2, side, side, device=device).to(DTYPES[precision])
    seconds, end = list[float](), time.perf_counter() + PEAK_SECONDS
    while not seconds or time.perf_counter() < end:
        began = _now(device)
        left @ right
        seconds.append(_now(device) - began)
    return 2 * side**3 / min(seconds) / 1e9


def ledger_ms(labels: Sequence[str], batch: int) -> float:
    """CPU milliseconds per recording, for its row, its claim and its answer, in a new ledger."""
    with (
        temporary_home(temporary_folder("clfd-bench")) as folder,
        open_ledger(f"sqlite:///{folder / 'stage.db'}", "daemon") as ledger,
    ):
        digest, name = "0" * 64, "bench"
        checkpoint_id = ledger.register_checkpoint(digest, name, labels, LEDGER_CLIP_SECONDS, {})
        began = time.process_time()
        for first in range(0, LEDGER_ROWS, batch):
            numbers = range(first, min(first + batch, LEDGER_ROWS))
            _record(ledger, folder, numbers, checkpoint_id, labels)
        return 1000 * (time.process_time() - began) / LEDGER_ROWS


def _record(
    ledger: Ledger, inbox: Path, numbers: range, checkpoint_id: int, labels: Sequence[str]
) -> None:
    ledger.admit([Arrival(inbox, b"%08d.wav" % n, str(n), 441_044) for n in numbers])
    claims = ledger.claim("bench", len(numbers), 3)
    ledger.record([_answer(claim, checkpoint_id, labels) for claim in claims])


def _answer(claim: Claim, checkpoint_id: int, labels: Sequence[str]) -> Scored:
    scores = np.full(len(labels), 1 / len(labels))
    return Scored(
        recording_id=claim.recording_id,
        facts=AudioFacts(f"{claim.recording_id:064x}", LEDGER_CLIP_SECONDS, 44_100, 1),
        checkpoint_id=checkpoint_id,
        label=labels[0],
        confidence=float(scores[0]),
        scores=scores.astype("<f4").tobytes(),
        clip_scores=scores.astype("<f2").tobytes(),
        clip_seconds=LEDGER_CLIP_SECONDS,
        clip_hop_seconds=LEDGER_CLIP_SECONDS,
    )


def _now(device: torch.device) -> float:
    """Seconds of CPU time; for a GPU seconds of a clock, after its work is done."""
    if device.type == "cpu":
        return time.process_time()
    getattr(torch, device.type).synchronize()
    return time.perf_counter()
