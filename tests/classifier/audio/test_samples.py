"""How loud a recording is, in decibels below full scale."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from classifier.audio.decode import Segment, decode
from classifier.audio.samples import FLOOR_DBFS, Levels

RATE_HZ = 8000
SINE = np.sin(2 * np.pi * 100 * np.arange(RATE_HZ) / RATE_HZ)


def level_of(file: Path, samples: np.ndarray, subtype: str = "PCM_16") -> Levels:
    soundfile.write(file, samples, RATE_HZ, subtype)
    return decode(Segment(bytes(file), RATE_HZ, RATE_HZ, RATE_HZ, 10)).level


@pytest.fixture(params=["a.wav", "a.flac"])
def file(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return tmp_path / str(request.param)


def test_a_sine_is_three_decibels_below_its_peak(file: Path) -> None:
    level = level_of(file, 0.5 * SINE)
    assert level.peak_dbfs == pytest.approx(20 * math.log10(0.5), abs=0.02)
    assert level.rms_dbfs == pytest.approx(level.peak_dbfs - 3.01, abs=0.02)


def test_half_the_amplitude_is_six_decibels_less(file: Path) -> None:
    louder, softer = level_of(file, 0.5 * SINE), level_of(file, 0.25 * SINE)
    assert louder.rms_dbfs - softer.rms_dbfs == pytest.approx(6.02, abs=0.02)


def test_silence_is_at_the_floor(file: Path) -> None:
    level = level_of(file, np.zeros(RATE_HZ))
    assert (level.rms_dbfs, level.peak_dbfs, level.clipped) == (FLOOR_DBFS, FLOOR_DBFS, 0)


def test_clipping_is_the_share_of_samples_at_full_scale(file: Path) -> None:
    samples = np.zeros(RATE_HZ)
    samples[: RATE_HZ // 4] = 1.0
    assert level_of(file, samples).clipped == pytest.approx(0.25)


def test_the_peak_is_that_of_the_louder_channel(file: Path) -> None:
    level = level_of(file, np.stack([0.5 * SINE, -0.5 * SINE], axis=1))
    assert level.peak_dbfs == pytest.approx(-6.02, abs=0.02)
    assert level.rms_dbfs < -60  # the network gets the mean


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_the_level_does_not_depend_on_how_samples_are_stored(tmp_path: Path, subtype: str) -> None:
    level = level_of(tmp_path / "a.wav", 0.5 * SINE, subtype)
    assert level.peak_dbfs == pytest.approx(-6.02, abs=0.1)
    assert level.rms_dbfs == pytest.approx(-9.03, abs=0.1)


def test_segments_add_up_to_the_whole(tmp_path: Path) -> None:
    whole = level_of(tmp_path / "a.wav", np.concatenate([0.5 * SINE, 0.1 * SINE]))
    parts = Levels()
    for first in (0, 1):
        segment = Segment(bytes(tmp_path / "a.wav"), RATE_HZ, RATE_HZ, RATE_HZ, 1, first)
        parts.join(decode(segment).level)
    assert parts.rms_dbfs == pytest.approx(whole.rms_dbfs, abs=0.01)
    assert parts.peak_dbfs == whole.peak_dbfs
