"""What each stage costs, measured on sounds of the test's own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from classifier.model.checkpoint import read_checkpoint
from daemon.benchmark.decoding import Grid, measure_decoding
from daemon.benchmark.figures import STAGES
from daemon.benchmark.files import choose_files, copy_file, decodable
from daemon.benchmark.sounds import SUBTYPES, make_sounds
from daemon.benchmark.stages import Bench
from daemon.errors import DaemonError
from daemon.monitoring.processes import busy_seconds, cpu_seconds, memory_bytes, tree_of
from storage.home.paths import Home
from storage.settings.loading import load_settings
from storage.settings.schema import EngineSettings, Settings

GRID = Grid(8000, 4000, 4000)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(Home(tmp_path / "home"), environ={})


@pytest.fixture
def sounds(tmp_path: Path) -> Callable[..., list[Path]]:
    def make(suffix: str = "wav", count: int = 3) -> list[Path]:
        folder = tmp_path / suffix
        folder.mkdir()
        return make_sounds(folder, suffix, count, seconds=0.5)

    return make


@pytest.mark.parametrize("suffix", SUBTYPES)
def test_made_sounds_are_of_the_length_asked_for(
    suffix: str, sounds: Callable[..., list[Path]]
) -> None:
    lengths = [soundfile.info(file).duration for file in sounds(suffix)]
    assert lengths == pytest.approx([0.5] * 3, abs=0.06)  # an MP3 holds whole frames


def test_no_two_made_sounds_are_alike(sounds: Callable[..., list[Path]]) -> None:
    assert len({file.read_bytes() for file in sounds()}) == 3


def test_links_and_copies_of_a_file_are_left_out_and_counted(
    sounds: Callable[..., list[Path]], settings: Settings
) -> None:
    first, *_ = sounds()
    os.link(first, first.with_name("linked.wav"))
    first.with_name("copied.wav").write_bytes(first.read_bytes())
    chosen = choose_files([first.parent], settings, most=10)
    assert (len(chosen.files), chosen.copies) == (3, 2)


def test_no_more_files_are_taken_than_asked_for(
    sounds: Callable[..., list[Path]], settings: Settings
) -> None:
    assert len(choose_files(sounds(), settings, most=2).files) == 2


def test_no_more_bytes_are_taken_than_can_be_copied(
    sounds: Callable[..., list[Path]], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sounds()
    monkeypatch.setattr("daemon.benchmark.files.MOST_BYTES", files[0].stat().st_size + 1)
    assert choose_files(files, settings, most=10).files == files[:2]


def test_a_pipe_is_named_and_not_waited_for(tmp_path: Path, settings: Settings) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(DaemonError, match="no regular file"):
        choose_files([tmp_path / "pipe.wav"], settings, most=2)


def test_a_full_disk_is_told_in_one_line(sounds: Callable[..., list[Path]]) -> None:
    with pytest.raises(DaemonError, match="No space left on device; name fewer files"):
        copy_file(sounds()[0], Path("/dev/full"))


def test_a_folder_without_audio_is_named(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(DaemonError, match=f"no audio files in {tmp_path}"):
        choose_files([tmp_path], settings, most=2)


def test_decoding_is_measured_over_every_clip(sounds: Callable[..., list[Path]]) -> None:
    cost = measure_decoding(sounds(), GRID, seconds=60, n_heard=2)
    assert (cost.clips, cost.recordings, sum(map(len, cost.heard))) == (3, 3, 2)
    assert cost.decode_ms + cost.resample_ms == pytest.approx(cost.total_ms / 3)


def test_a_long_recording_is_decoded_stretch_by_stretch(
    audio_file: Callable[..., Path], noise: Callable[..., np.ndarray]
) -> None:
    file = audio_file("long.wav", noise(70, rate_hz=8000))
    cost = measure_decoding([file], GRID, seconds=60, n_heard=8)
    assert (cost.clips, cost.recordings) == (140, 1)


def test_a_recording_at_the_networks_rate_is_not_resampled(
    audio_file: Callable[..., Path],
) -> None:
    assert measure_decoding([audio_file()], GRID, seconds=60, n_heard=8).resample_ms == 0


def test_files_that_cannot_be_decoded_are_passed_over(
    tmp_path: Path, sounds: Callable[..., list[Path]]
) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_text("<html>404</html>")
    assert measure_decoding([broken, *sounds()], GRID, seconds=60, n_heard=8).recordings == 3


def test_what_kills_a_decoder_is_kept_out_of_the_benchmarks_own_process(
    sounds: Callable[..., list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = Path(__file__).parents[2] / "torture" / "poison"
    monkeypatch.setenv("PYTHONPATH", f"{poison}:{os.environ.get('PYTHONPATH', '')}")
    first, *others = sounds()
    killer = first.rename(first.with_name("poison.wav"))
    assert decodable([killer, *others]) == others


def test_every_stage_costs_something(
    checkpoint_file: Path, sounds: Callable[..., list[Path]]
) -> None:
    threads = torch.get_num_threads()
    bench = Bench(
        read_checkpoint(checkpoint_file), torch.device("cpu"), EngineSettings(batch_clips=4)
    )
    costs = bench.costs(sounds(), seconds=60)
    assert costs is not None
    assert list(costs.stages) == list(STAGES)
    assert all(ms > 0 for name, ms in costs.stages.items() if name != "resample")
    facts = bench.model_facts()
    assert facts.gflops > 0
    assert facts.peak_gflops > 0
    assert bench.starting_seconds > 0
    assert torch.get_num_threads() == threads


def test_a_process_uses_memory_and_time() -> None:
    tree = tree_of(os.getpid())
    assert memory_bytes(tree) > 10_000_000
    assert 0 < cpu_seconds(tree) < busy_seconds()
