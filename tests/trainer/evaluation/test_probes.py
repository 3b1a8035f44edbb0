"""What a network says about nothing."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from classifier.model.checkpoint import Checkpoint, read_checkpoint
from trainer.evaluation.probes import SOUNDS, mains_hum, pink_noise, probe, silence, white_noise

RATE_HZ = 8000
SECOND = RATE_HZ


@pytest.fixture(scope="module")
def checkpoint(checkpoint_file: Path) -> Checkpoint:
    return read_checkpoint(checkpoint_file)


def chance() -> np.random.RandomState:
    return np.random.RandomState(0)


def power(clip: np.ndarray, low_hz: int, high_hz: int) -> float:
    """Of one second, between two frequencies."""
    return float(np.square(np.abs(np.fft.rfft(clip))[low_hz:high_hz]).sum())


def test_every_probe_gets_an_answer_and_a_confidence(checkpoint: Checkpoint) -> None:
    found = probe(checkpoint.build(), checkpoint.labels)
    assert [each.name for each in found] == list(SOUNDS)
    assert all(each.label in checkpoint.labels for each in found)
    assert all(1 / 3 <= each.confidence <= 1 for each in found if each.confidence)


def test_the_same_network_gives_the_same_probes(checkpoint: Checkpoint) -> None:
    one, other = (probe(checkpoint.build(), checkpoint.labels) for _ in range(2))
    assert one == other


def test_a_hotter_network_is_less_sure_of_nothing(checkpoint: Checkpoint) -> None:
    model = checkpoint.build()
    cool = probe(model, checkpoint.labels)
    model.temperature = 5.0
    hot = probe(model, checkpoint.labels)
    assert sum(each.confidence or 0 for each in hot) < sum(each.confidence or 0 for each in cool)


def test_a_broken_network_is_found_out_and_can_still_be_written(checkpoint: Checkpoint) -> None:
    model = checkpoint.build()
    model.network.head[-1].bias.data.fill_(np.nan)
    found = probe(model, checkpoint.labels)
    rows = json.loads(json.dumps([asdict(each) for each in found], allow_nan=False))
    assert rows[0] == {"name": "digital silence", "label": None, "confidence": None}


def test_silence_is_silent() -> None:
    assert not silence(SECOND, RATE_HZ, chance()).any()


@pytest.mark.parametrize("dbfs", [-20, -40, -60])
def test_noise_is_as_loud_as_its_name_says(dbfs: int) -> None:
    clip = white_noise(dbfs)(SECOND, RATE_HZ, chance())
    assert 20 * np.log10(clip.std()) == pytest.approx(dbfs, abs=0.1)


def test_pink_noise_has_as_much_power_in_every_octave() -> None:
    clip = pink_noise(SECOND, RATE_HZ, chance())
    assert power(clip, 200, 400) == pytest.approx(power(clip, 1600, 3200), rel=0.4)


@pytest.mark.parametrize("hz", [50, 60])
def test_hum_is_the_mains_and_its_harmonics(hz: int) -> None:
    clip = mains_hum(hz)(SECOND, RATE_HZ, chance())
    strongest = np.argsort(np.abs(np.fft.rfft(clip)))[-3:]
    assert sorted(strongest) == [hz, 2 * hz, 3 * hz]
