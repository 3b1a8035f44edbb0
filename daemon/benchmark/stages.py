"""The stages alone, one after the other, for one checkpoint on one device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from classifier.inference.compiled import CompiledNetworks
from classifier.inference.device import threads
from classifier.model.checkpoint import Checkpoint
from classifier.model.flops import gflop_per_clip
from classifier.workers.process import usable_cores
from daemon.benchmark.decoding import DecodingCost, Grid, measure_decoding
from daemon.benchmark.figures import DECODE, LEDGER, NETWORK, RESAMPLE, Costs
from daemon.benchmark.ledger import ledger_ms
from daemon.benchmark.model import TimedPredictor, model_ms, peak_gflops
from daemon.benchmark.temp_home import throw_away_folder
from daemon.benchmark.workers import starting_seconds
from daemon.pipeline.compilation import Compilation
from daemon.pipeline.model_manager import hop_samples
from storage.settings.schema import EngineSettings


@dataclass(frozen=True)
class ModelFacts:
    """How the network runs on one core, or on the GPU, and the most that this could do."""

    checkpoint: str
    device: str
    precision: str
    path: str
    clip_seconds: float
    gflop_per_clip: float
    gflops: float
    peak_gflops: float


class Bench:
    """Costs that are the same for every file are measured once.

    `compiled` is a folder of compiled networks, of which this checkpoint's is used.

    `starting_seconds` is the CPU time in which the engine's workers start, after `costs`.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: torch.device,
        engine: EngineSettings,
        compiled: Path | None = None,
    ) -> None:
        self._checkpoint, self._device, self._engine = checkpoint, device, engine
        self._compiled = compiled
        self._batch = engine.batch_clips
        self._model: dict[str, float] | None = None
        self._ledger_ms = self.starting_seconds = 0.0

    def costs(self, files: Sequence[Path], seconds: float) -> Costs | None:
        """Per clip of these files, as many of them as are decoded in so many seconds.

        The files are ours, and are touched. None where none of them can be decoded.
        """
        audio = self._checkpoint.audio_format
        hop = hop_samples(self._checkpoint, self._engine.overlap_seconds)
        grid = Grid(audio.sample_rate_hz, audio.clip_samples, hop)
        with threads(1):
            decoding = measure_decoding(files, grid, seconds, self._batch)
            if not decoding.clips:
                return None
            if self._model is None:
                self._model = self._measured_once(np.concatenate(decoding.heard))
                workers = self._engine.decode_workers or usable_cores()
                self.starting_seconds = starting_seconds(files[0], workers)
        return self._sum(decoding, self._model)

    def model_facts(self) -> ModelFacts:
        """After `costs` was asked for."""
        assert self._model is not None
        about = self._checkpoint.description
        gflop = gflop_per_clip(about.audio_format, about.network, len(about.labels))
        with threads(1):
            peak = peak_gflops(self._device, self._precision)
        return ModelFacts(
            checkpoint=self._checkpoint.name,
            device=self._device.type,
            precision=self._precision,
            path=self._path,
            clip_seconds=about.audio_format.clip_seconds,
            gflop_per_clip=gflop,
            gflops=1000 * gflop / self._model[NETWORK],
            peak_gflops=peak,
        )

    def _measured_once(self, clips: npt.NDArray[np.float32]) -> dict[str, float]:
        predictor = TimedPredictor(self._checkpoint, self._device, self._engine.precision)
        if self._compiled:
            Compilation(CompiledNetworks(self._compiled), "auto").adopt(predictor)
        stages = model_ms(predictor, np.resize(clips, (self._batch, clips.shape[1])))
        self._precision, self._path = predictor.precision, predictor.path
        with throw_away_folder() as folder:
            self._ledger_ms = ledger_ms(folder, self._checkpoint.labels, self._batch)
        return stages

    def _sum(self, decoding: DecodingCost, model: dict[str, float]) -> Costs:
        rows_per_clip = decoding.recordings / decoding.clips
        stages = {
            DECODE: decoding.decode_ms,
            RESAMPLE: decoding.resample_ms,
            **model,
            LEDGER: self._ledger_ms * rows_per_clip,
        }
        return Costs(stages, on_gpu=self._device.type != "cpu")
