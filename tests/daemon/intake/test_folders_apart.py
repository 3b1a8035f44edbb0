"""A folder belongs to one inbox, and the archive to none, whatever links and mounts are there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from house import House, HouseMaker, house_settings
from moves import files_below
from swapped_folders import mounted

from daemon.app import run_daemon
from daemon.intake.preview import preview
from storage.errors import SettingsError
from storage.home.paths import Home

AudioFile = Callable[..., Path]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


def test_one_folder_as_two_inboxes_is_refused_at_the_start(home: Home, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    inboxes = [str(tmp_path / "a"), str(tmp_path / "link")]
    settings = house_settings(home, inbox=inboxes)
    processes: Any = (None, None)  # it comes to none
    for start in (
        lambda: list(preview(settings)),
        partial(run_daemon, home, settings, *processes, False, lambda: settings, lambda _: None),
    ):
        with pytest.raises(SettingsError, match="link overlap; a file belongs to one inbox"):
            start()  # type: ignore[no-untyped-call]


def test_an_inbox_that_leads_into_another_one_is_refused(home: Home, tmp_path: Path) -> None:
    (tmp_path / "a" / "card").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a" / "card")
    settings = house_settings(home, inbox=[str(tmp_path / "link"), str(tmp_path / "a")])
    with pytest.raises(SettingsError, match="overlap"):
        list(preview(settings))


@pytest.fixture
def two(make_house: HouseMaker, tmp_path: Path) -> House:
    """A daemon with the inboxes `outer` and `inner`."""
    for name in ("outer", "inner"):
        (tmp_path / name).mkdir()
    return make_house(inbox=[str(tmp_path / "outer"), str(tmp_path / "inner")])


def test_a_file_of_an_inbox_that_is_mounted_in_another_one_has_one_row(
    two: House, audio_file: AudioFile
) -> None:
    outer, inner = two.settings.inboxes
    (inner / "a.wav").write_bytes(audio_file().read_bytes())
    with mounted(outer / "sub", "--bind", source=str(inner)):
        two.live()
        two.watcher.ring(outer, b"sub/a.wav")
        two.live()
        assert two.rows() == [("a.wav", "done")]
        [fault] = two.statuses[-1]["faults"]  # type: ignore[misc]
        assert f"folder {outer / 'sub'} is left out" in fault
    two.live()
    assert two.statuses[-1]["faults"] == []


def test_of_two_inboxes_that_become_one_folder_the_first_one_counts(
    two: House, audio_file: AudioFile
) -> None:
    outer, inner = two.settings.inboxes
    (outer / "a.wav").write_bytes(audio_file().read_bytes())
    with mounted(inner, "--bind", source=str(outer)):
        two.live()
        assert two.rows() == [("a.wav", "done")]
        assert f"inbox {inner} is left out" in str(two.statuses[-1]["faults"])


def test_an_archive_that_is_mounted_in_the_inbox_sends_no_file_round(
    archiving: House, audio_file: AudioFile
) -> None:
    archive = archiving.home.root / "archive"
    archive.mkdir()
    archiving.drop(audio_file(), "a.wav")
    with mounted(archiving.inbox / "sub", "--bind", source=str(archive)):
        archiving.live(200)
        assert files_below(archive) == ["inbox/a.wav"]
        assert "sub is left out, since it is the archive" in str(archiving.statuses[-1]["faults"])


def test_an_archive_that_is_mounted_later_is_known_as_well(
    make_house: HouseMaker, audio_file: AudioFile, tmp_path: Path
) -> None:
    nas, archive = tmp_path / "nas", tmp_path / "archive"
    nas.mkdir()
    archive.mkdir()
    house = make_house(**{"intake.archive_dir": str(archive)})
    with (
        mounted(archive, "--bind", source=str(nas)),
        mounted(house.inbox / "sub", "--bind", source=str(nas)),
    ):
        house.drop(audio_file(), "a.wav")
        house.live(200)
        assert files_below(archive) == ["inbox/a.wav"]


def test_a_folder_of_the_archive_that_is_mounted_in_the_inbox_sends_no_file_round(
    archiving: House, audio_file: AudioFile
) -> None:
    folder = archiving.home.root / "archive" / "inbox" / "card"
    folder.mkdir(parents=True)
    archiving.drop(audio_file(), "card/a.wav")
    with mounted(archiving.inbox / "card" / "x", "--bind", source=str(folder)):
        archiving.live(400)
        assert files_below(folder) == ["a.wav"]
        assert "leads back into the inbox" in str(archiving.statuses[-1]["faults"])
