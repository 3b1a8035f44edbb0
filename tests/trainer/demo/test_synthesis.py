from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from trainer.demo.synthesis import FORMATS, SAMPLE_RATES_HZ, VOICES, make_set, synthesise

LABELS = (*VOICES, "dog_bark;siren", "none")
every_label = pytest.mark.parametrize("label", LABELS)


def take(label: str, seed: int = 0, sample_rate_hz: int = 16_000, seconds: float = 1.0):
    return synthesise(label, np.random.default_rng(seed), sample_rate_hz, seconds)


def rows(labels_csv: Path) -> list[dict[str, str]]:
    with labels_csv.open(newline="") as file:
        return list(csv.DictReader(file))


def infos(folder: Path, names: Iterable[str]):
    return [soundfile.info(folder / name) for name in names]


def share_above(samples: np.ndarray, frequency_hz: float, sample_rate_hz: int = 16_000) -> float:
    power = np.abs(np.fft.rfft(samples)) ** 2
    above = np.fft.rfftfreq(len(samples), 1 / sample_rate_hz) > frequency_hz
    return float(power[above].sum() / power.sum())


@pytest.fixture(scope="module")
def large_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("large"), LABELS, per_label=12, seed=5)


@every_label
@pytest.mark.parametrize("sample_rate_hz", SAMPLE_RATES_HZ)
def test_a_take_is_float32_mono_of_the_length_asked_for(label, sample_rate_hz):
    samples = take(label, sample_rate_hz=sample_rate_hz, seconds=0.6)
    assert samples.dtype == np.float32
    assert samples.shape == (round(0.6 * sample_rate_hz),)


@every_label
def test_a_take_is_finite_audible_and_never_clips(label):
    peaks = [float(np.abs(take(label, seed)).max()) for seed in range(20)]
    assert all(0.05 < peak < 1 for peak in peaks)


@every_label
def test_the_same_seed_gives_the_same_take_and_another_seed_another(label):
    np.testing.assert_array_equal(take(label, seed=1), take(label, seed=1))
    assert not np.array_equal(take(label, seed=1), take(label, seed=2))


def test_drilling_is_brighter_than_an_idling_engine():
    drilling, engine = (
        np.mean([share_above(take(label, seed), 1_000) for seed in range(20)])
        for label in ("drilling", "engine_idling")
    )
    assert drilling > 2 * engine


def test_a_set_lists_every_file_it_wrote_with_its_label(large_set):
    listed = rows(large_set)
    written = {file.name for file in large_set.parent.iterdir()} - {"labels.csv"}
    assert {row["path"] for row in listed} == written
    assert [row["label"] for row in listed] == [label for label in LABELS for _ in range(12)]


def test_a_set_mixes_rates_containers_channels_and_lengths(large_set):
    found = infos(large_set.parent, (row["path"] for row in rows(large_set)))
    assert {info.samplerate for info in found} == set(SAMPLE_RATES_HZ)
    assert {(i.format.lower(), i.subtype) for i in found} == set(FORMATS)
    assert {info.channels for info in found} == {1, 2}
    assert all(0.59 < info.duration < 2.51 for info in found)


def test_clips_of_one_source_share_a_group(large_set):
    labels_of: dict[str, list[str]] = {}
    for row in rows(large_set):
        labels_of.setdefault(row["group"], []).append(row["label"])
    assert len(labels_of) == 6 * len(LABELS)
    assert all(len(labels) == 2 and len(set(labels)) == 1 for labels in labels_of.values())


def test_no_file_of_a_set_is_silent(large_set):
    for row in rows(large_set):
        samples, _ = soundfile.read(large_set.parent / row["path"])
        assert np.abs(samples).max() > 0.01, row["path"]


def test_one_label_more_leaves_the_other_recordings_as_they_were(tmp_path):
    alone = make_set(tmp_path / "alone", ("siren",), per_label=3, seed=1)
    joined = make_set(tmp_path / "joined", ("dog_bark", "siren"), per_label=3, seed=1)
    assert rows(alone) == [row for row in rows(joined) if row["label"] == "siren"]
    for row in rows(alone):
        before, after = (soundfile.read(s.parent / row["path"])[0] for s in (alone, joined))
        np.testing.assert_array_equal(before, after)


def test_another_seed_gives_other_recordings(tmp_path):
    first, second = (make_set(tmp_path / str(s), ("siren",), per_label=2, seed=s) for s in (1, 2))
    before, after = (soundfile.read(s.parent / rows(s)[0]["path"])[0] for s in (first, second))
    assert before.shape != after.shape or not np.array_equal(before, after)
