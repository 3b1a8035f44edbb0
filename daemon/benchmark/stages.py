"""What each stage costs alone, for one checkpoint on one device.

A cost is the CPU time of a clip in one process on one core. Such costs can be added: a machine that
did only the stages, on all its cores and without waiting, would reach `cores / sum` clips a second.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from classifier.audio.decode import DecodedAudio, Segment, decode
from classifier.inference.compilation import Compilation
from classifier.inference.compiled import CompiledNetworks
from classifier.inference.device import threads
from classifier.inference.predictor import Predictor
from classifier.model.checkpoint import Checkpoint
from classifier.model.flops import gflop_per_clip
from classifier.workers.process import temporary_folder
from daemon.pipeline.model_manager import hop_samples
from daemon.pipeline.window import SEGMENT_SECONDS
from storage.home.temp_home import temporary_home
from storage.ledger.ledger import open_ledger
from storage.ledger.outcomes import Arrival, AudioFacts, Claim, Scored
from storage.settings.schema import EngineSettings

DECODE, LOG_MEL, NETWORK, LEDGER = "decode", "log_mel", "network", "ledger"
MODEL_SECONDS = 1.0
LEDGER_ROWS, LEDGER_CLIP_SECONDS = 1024, 5.0


@dataclass(frozen=True)
class Stages:
    """Milliseconds per clip of each stage, and the network that was measured.

    Log-mel and network on a GPU are read from a clock, since it has no CPU time.
    """

    checkpoint: str
    device: str
    precision: str
    path: str
    clip_seconds: float
    gflop_per_clip: float
    ms: Mapping[str, float]

    @property
    def core_ms(self) -> float:
        """The sum of the stages that run on the processor."""
        on_gpu = (LOG_MEL, NETWORK) if self.device != "cpu" else ()
        return sum(ms for stage, ms in self.ms.items() if stage not in on_gpu)

    def limit(self, cores: int) -> float:
        """Clips a second that the stages allow on this number of cores and one GPU."""
        gpu_ms = sum(self.ms.values()) - self.core_ms
        return 1000 / max(self.core_ms / cores, gpu_ms)


def measure_stages(
    checkpoint: Checkpoint,
    device: torch.device,
    engine: EngineSettings,
    files: Sequence[Path],
    seconds: float,
    compiled: Path | None = None,
) -> Stages:
    """Of these files as many are decoded as are begun in this number of seconds, at least one.

    The files are touched: they must be copies. This process decodes them: a daemon must have done
    so before. `compiled` is a folder of compiled networks, of which this checkpoint's is used.
    """
    about = checkpoint.description
    with threads(1):  # more would still spin, and use CPU time, while stages are measured
        predictor = TimedPredictor(checkpoint, device, engine.precision)
        if compiled:
            Compilation(CompiledNetworks(compiled), "auto").use_compiled(predictor)
        decoding, n_clips, n_recordings = measure_decoding(checkpoint, engine, files, seconds)
        model = predictor.measure(engine.batch_clips)
        ledger = ledger_ms(about.labels, engine.batch_clips)
    return Stages(
        checkpoint=checkpoint.name,
        device=device.type,
        precision=predictor.precision,
        path=predictor.path,
        clip_seconds=about.audio_format.clip_seconds,
        gflop_per_clip=gflop_per_clip(about.audio_format, about.network, len(about.labels)),
        ms={
            DECODE: decoding / n_clips,
            **model,
            LEDGER: ledger * n_recordings / n_clips,
        },
    )


def measure_decoding(
    checkpoint: Checkpoint, engine: EngineSettings, files: Sequence[Path], seconds: float
) -> tuple[float, int, int]:
    """CPU milliseconds for so many clips of so many recordings, with the reading of their files.

    Whole recordings, segment by segment.
    """
    audio, measured_ms, clips, recordings = checkpoint.audio_format, 0.0, 0, 0
    hop = hop_samples(checkpoint.facts, engine.overlap_seconds)
    n_clips = max(1, round(SEGMENT_SECONDS * audio.sample_rate_hz / hop))

    def decoded(file: Path, first_clip: int) -> DecodedAudio:
        grid = audio.sample_rate_hz, audio.clip_samples, hop, n_clips
        return decode(Segment(os.fsencode(file), *grid, first_clip, accepts_damaged=True))

    decoded(files[0], 0)  # the first call loads codecs and tables
    end = time.perf_counter() + seconds
    for file in files:
        os.utime(file)  # or facts of it would come from a cache
        recordings += 1
        for first_clip in range(0, 2**31, n_clips):
            began = time.process_time()
            segment = decoded(file, first_clip)
            measured_ms += 1000 * (time.process_time() - began)
            clips += len(segment.clips)
            is_last = len(segment.clips) < n_clips or segment.total_clips == first_clip + n_clips
            if is_last or time.perf_counter() > end:
                break
        if time.perf_counter() > end:
            break
    return measured_ms, clips, recordings


class TimedPredictor(Predictor):
    """Measures log-mel and network apart while it scores, in the batches that the daemon uses."""

    def __init__(self, checkpoint: Checkpoint, device: torch.device, precision: str) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        super().__init__(checkpoint, device, precision)

    def measure(self, n_clips: int) -> dict[str, float]:
        """Milliseconds per clip of log-mel and network, for batches of this size."""
        shape = n_clips, self.checkpoint.audio_format.clip_samples
        clips = np.random.default_rng(0).standard_normal(shape, np.float32)
        self.score(clips)  # a GPU tunes itself to the size of a batch
        self._seconds.clear()
        rounds, end = 0, time.perf_counter() + MODEL_SECONDS
        while not rounds or time.perf_counter() < end:
            self.score(clips)
            rounds += 1
        return {name: 1000 * each / (rounds * n_clips) for name, each in self._seconds.items()}

    def spectrograms(self, clips: Tensor) -> Tensor:
        with self._timed(LOG_MEL):
            return super().spectrograms(clips)

    def outputs(self, spectrograms: Tensor) -> Tensor:
        with self._timed(NETWORK):
            return super().outputs(spectrograms)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began = self._now()
        yield
        self._seconds[stage] += self._now() - began

    def _now(self) -> float:
        """Seconds of CPU time; for a GPU seconds of a clock, after its work is done."""
        if self.device.type == "cpu":
            return time.process_time()
        getattr(torch, self.device.type).synchronize()
        return time.perf_counter()


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
            ledger.admit([Arrival(folder, b"%08d.wav" % n, str(n), 441_044) for n in numbers])
            claims = ledger.claim("bench", len(numbers), 3)
            ledger.record([_answer(claim, checkpoint_id, labels) for claim in claims])
        return 1000 * (time.process_time() - began) / LEDGER_ROWS


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
