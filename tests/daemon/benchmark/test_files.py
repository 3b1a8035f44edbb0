"""Which files a benchmark takes, and those that it makes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from daemon.benchmark.files import SUBTYPES, choose_files, copy_file
from daemon.errors import DaemonError
from storage.home.paths import Home
from storage.settings.loading import load_settings
from storage.settings.schema import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(Home(tmp_path / "home"), environ={})


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
    files, copies = choose_files([first.parent], settings, max_files=10)
    assert (len(files), copies) == (3, 2)


def test_no_more_files_are_taken_than_asked_for(
    sounds: Callable[..., list[Path]], settings: Settings
) -> None:
    assert len(choose_files(sounds(), settings, max_files=2)[0]) == 2


def test_no_more_bytes_are_taken_than_can_be_copied(
    sounds: Callable[..., list[Path]], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sounds()
    monkeypatch.setattr("daemon.benchmark.files.MAX_BYTES", files[0].stat().st_size + 1)
    assert choose_files(files, settings, max_files=10)[0] == files[:2]


def test_a_pipe_is_named_and_not_waited_for(tmp_path: Path, settings: Settings) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(DaemonError, match="no regular file"):
        choose_files([tmp_path / "pipe.wav"], settings, max_files=2)


def test_a_full_disk_is_told_in_one_line(sounds: Callable[..., list[Path]]) -> None:
    with pytest.raises(DaemonError, match="No space left on device; name fewer files"):
        copy_file(sounds()[0], Path("/dev/full"))


def test_a_folder_without_audio_is_named(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(DaemonError, match=f"no audio files in {tmp_path}"):
        choose_files([tmp_path], settings, max_files=2)
