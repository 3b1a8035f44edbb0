"""What each stage costs, measured on sounds of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from classifier.model.checkpoint import Checkpoint, read_checkpoint
from daemon.benchmark.stages import measure_decoding, measure_stages
from storage.settings.schema import EngineSettings

ENGINE = EngineSettings(batch_clips=4)


@pytest.fixture
def checkpoint(checkpoint_file: Path) -> Checkpoint:
    """Of clips of half a second at 8 kHz."""
    return read_checkpoint(checkpoint_file)


def test_decoding_is_measured_over_every_clip(
    checkpoint: Checkpoint, sounds: Callable[..., list[Path]]
) -> None:
    milliseconds, *counted = measure_decoding(checkpoint, ENGINE, sounds(count=6), seconds=60)
    assert milliseconds > 0
    assert counted == [6, 6]


def test_a_long_recording_is_decoded_segment_by_segment(
    checkpoint: Checkpoint, audio_file: Callable[..., Path], noise: Callable[..., np.ndarray]
) -> None:
    file = audio_file("long.wav", noise(70, rate_hz=8000))
    assert measure_decoding(checkpoint, ENGINE, [file], seconds=60)[1:] == (140, 1)


@pytest.mark.usefixtures("short_stages")
def test_every_stage_costs_something(
    checkpoint: Checkpoint, sounds: Callable[..., list[Path]]
) -> None:
    threads = torch.get_num_threads()
    stages = measure_stages(checkpoint, torch.device("cpu"), ENGINE, sounds(), seconds=60)
    assert list(stages.ms) == ["decode", "log_mel", "network", "ledger"]
    assert all(ms > 0 for ms in stages.ms.values())
    assert torch.get_num_threads() == threads
