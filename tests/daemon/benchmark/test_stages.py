"""What each stage costs, measured on sounds of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from classifier.model.checkpoint import read_checkpoint
from daemon.benchmark.decoding import ClipGrid, measure_decoding
from daemon.benchmark.stages import STAGES, StageBenchmark
from storage.settings.schema import EngineSettings

GRID = ClipGrid(8000, 4000, 4000)


def test_decoding_is_measured_over_every_clip(sounds: Callable[..., list[Path]]) -> None:
    cost = measure_decoding(sounds(), GRID, seconds=60, n_examples=2)
    assert (cost.clips, cost.recordings, sum(map(len, cost.examples))) == (3, 3, 2)
    assert cost.decode_ms + cost.resample_ms == pytest.approx(cost.total_ms / 3)


def test_a_long_recording_is_decoded_segment_by_segment(
    audio_file: Callable[..., Path], noise: Callable[..., np.ndarray]
) -> None:
    file = audio_file("long.wav", noise(70, rate_hz=8000))
    cost = measure_decoding([file], GRID, seconds=60, n_examples=8)
    assert (cost.clips, cost.recordings) == (140, 1)


def test_a_recording_at_the_networks_rate_is_not_resampled(
    audio_file: Callable[..., Path],
) -> None:
    assert measure_decoding([audio_file()], GRID, seconds=60, n_examples=8).resample_ms == 0


def test_files_that_cannot_be_decoded_are_left_out(
    tmp_path: Path, sounds: Callable[..., list[Path]]
) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_text("<html>404</html>")
    assert measure_decoding([broken, *sounds()], GRID, seconds=60, n_examples=8).recordings == 3


def test_every_stage_costs_something(
    checkpoint_file: Path, sounds: Callable[..., list[Path]]
) -> None:
    threads = torch.get_num_threads()
    bench = StageBenchmark(
        read_checkpoint(checkpoint_file), torch.device("cpu"), EngineSettings(batch_clips=4)
    )
    costs = bench.costs(sounds(), seconds=60)
    assert costs is not None
    assert list(costs.stages) == list(STAGES)
    assert all(ms > 0 for name, ms in costs.stages.items() if name != "resample")
    facts = bench.model_facts()
    assert facts.gflops > 0
    assert facts.peak_gflops > 0
    assert torch.get_num_threads() == threads
