"""What keeps files from being archived is told, and does not last longer than it must."""

from __future__ import annotations

import errno
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from house import House, HouseMaker
from moves import a_move, files_below, mover_to, places
from swapped_folders import mounted

from daemon.archive import archiver, mover
from daemon.archive.folder_entry import FolderEntry
from daemon.backoff import wait_seconds
from storage.errors import LedgerUnavailable
from storage.ledger.archive_moves import MoveFailed

AudioFile = Callable[..., Path]
Noise = Callable[..., np.ndarray]


def test_what_came_of_a_batch_survives_a_locked_ledger(
    archiving: House, audio_file: AudioFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise LedgerUnavailable("locked")

    archiving.drop(audio_file(), "a.wav")
    with monkeypatch.context() as patch:
        patch.setattr(archiving.ledger.moves, "record", refuse)
        patch.setattr("daemon.control.ledger_retry.RETRY_SECONDS", 0)
        for _ in range(60):
            archiving.service.try_tick()
            archiving.now += 0.5
    assert places(archiving) == [("a.wav", "done", None)]
    archiving.live(5)
    [(_, _, place)] = places(archiving)
    assert place is not None


def test_an_archive_that_is_missing_is_told_and_waited_for(
    make_house: HouseMaker, audio_file: AudioFile, tmp_path: Path
) -> None:
    archive = tmp_path / "nas" / "archive"
    house = make_house(**{"intake.archive_dir": str(archive)})
    house.drop(audio_file(), "a.wav")
    house.live()
    [fault] = house.statuses[-1]["faults"]  # type: ignore[misc]
    assert "is missing" in fault and "wait in the inbox: 1" in fault
    assert places(house) == [("a.wav", "done", None)]
    archive.mkdir(parents=True)
    house.live(70)
    assert house.statuses[-1]["faults"] == []
    assert files_below(archive) == ["inbox/a.wav"]


def test_a_fault_of_the_archive_is_logged_once(
    make_house: HouseMaker, audio_file: AudioFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    house = make_house(**{"intake.archive_dir": str(tmp_path / "missing")})
    house.drop(audio_file(), "a.wav")
    house.live(100)
    assert len([r for r in caplog.records if "archive" in r.getMessage()]) == 1


def test_the_empty_folder_beneath_a_missing_mount_gets_no_file(
    make_house: HouseMaker, audio_file: AudioFile, noise: Noise, tmp_path: Path
) -> None:
    archive, away = tmp_path / "archive", tmp_path / "away"
    archive.mkdir()
    house = make_house(**{"intake.archive_dir": str(archive)})
    house.drop(audio_file("1.wav"), "a.wav")
    house.live()
    house.close()
    archive.rename(away)
    archive.mkdir()
    house = make_house(**{"intake.archive_dir": str(archive)})
    house.drop(audio_file("2.wav", noise()), "b.wav")
    house.live()
    assert files_below(archive) == []
    assert "mount what belongs there" in str(house.statuses[-1]["faults"])
    archive.rmdir()
    away.rename(archive)
    house.live(70)
    assert files_below(archive) == ["inbox/a.wav", "inbox/b.wav"]


def test_one_file_that_cannot_be_moved_does_not_keep_the_others_waiting(
    archiving: House, audio_file: AudioFile, noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = mover.rename_no_replace

    def refuse_the_first(source: FolderEntry, target: FolderEntry) -> None:
        if source.name == b"0.wav":
            raise PermissionError(errno.EACCES, "Permission denied", source.path)
        rename(source, target)

    monkeypatch.setattr(archiver, "wait_seconds", lambda _: 100.0)
    with monkeypatch.context() as patch:
        patch.setattr(mover, "rename_no_replace", refuse_the_first)
        for number in range(3):
            archiving.drop(audio_file("x.wav", noise(seed=number)), f"{number}.wav")
        archiving.live()
        assert files_below(archiving.inbox) == ["0.wav"]
        assert "0.wav: Permission denied" in str(archiving.statuses[-1]["faults"])
        archiving.drop(audio_file("x.wav", noise(seed=9)), "9.wav")
        archiving.live()  # too short for another try with the first one
        assert files_below(archiving.inbox) == ["0.wav"]
    archiving.live(40)
    assert files_below(archiving.inbox) == []
    assert archiving.statuses[-1]["faults"] == []


def test_hindered_moves_are_tried_ever_more_rarely(
    archiving: House, audio_file: AudioFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def refuse(source: FolderEntry, target: FolderEntry) -> None:
        tries.append(archiving.now)
        raise PermissionError(errno.EACCES, "Permission denied", source.path)

    monkeypatch.setattr(mover, "rename_no_replace", refuse)
    waits = (5.0, 20.0, 40.0)
    monkeypatch.setattr(archiver, "wait_seconds", lambda n: wait_seconds(n, waits))
    archiving.drop(audio_file(), "a.wav")
    archiving.live(140)
    assert np.diff(tries) == pytest.approx([5, 20, 40, 40], abs=3)


def test_a_full_archive_keeps_results_and_files_and_goes_on_when_there_is_space(
    make_house: HouseMaker, audio_file: AudioFile, noise: Noise, tmp_path: Path
) -> None:
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=128k") as archive:
        filler = archive / "filler"
        filler.write_bytes(bytes(100_000))
        house = make_house(**{"intake.archive_dir": str(archive)})
        for number in range(3):
            house.drop(audio_file("x.wav", noise(seed=number)), f"{number}.wav")
        house.live()
        assert [state for _, state in house.rows()] == ["done"] * 3
        assert "no space" in str(house.statuses[-1]["faults"])
        assert len(files_below(house.inbox)) + len(files_below(archive / "inbox")) == 3
        filler.unlink()
        house.live(70)
        assert files_below(archive) == ["inbox/0.wav", "inbox/1.wav", "inbox/2.wav"]
        assert house.statuses[-1]["faults"] == []
        house.close()


def test_a_read_only_inbox_is_told_and_keeps_its_files(
    make_house: HouseMaker, audio_file: AudioFile, tmp_path: Path
) -> None:
    with mounted(tmp_path / "recorder") as inbox:
        shutil.copyfile(audio_file(), inbox / "a.wav")
        subprocess.run(["mount", "-o", "remount,ro", str(inbox)], check=True)
        house = make_house(**{"inbox": str(inbox), "intake.archive_dir": "archive"})
        house.live()
        assert places(house) == [("a.wav", "done", None)]
        [fault] = house.statuses[-1]["faults"]  # type: ignore[misc]
        assert "files cannot be taken out of this folder" in fault
        assert files_below(house.home.root / "archive") == []
        house.close()


def test_a_rename_that_is_refused_is_told_with_both_its_names(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: FolderEntry, target: FolderEntry) -> None:
        raise OSError(errno.EACCES, "Permission denied", source.path, None, target.path)

    source, archive = inbox / "a.wav", tmp_path / "archive"
    source.write_bytes(b"sound")
    monkeypatch.setattr(mover, "rename_no_replace", refuse)
    [result] = mover_to(archive, inbox).move([a_move(source, archive / "a.wav")])
    assert isinstance(result, MoveFailed)
    assert str(source) in result.reason
    assert str(archive / "a.wav") in result.reason


def test_one_run_says_which_files_it_could_not_archive_and_ends_well(
    make_house: HouseMaker, audio_file: AudioFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    house = make_house(**{"intake.archive_dir": str(tmp_path / "missing")})
    house.drop(audio_file(), "a.wav")
    house.run_once()
    assert house.rows() == [("a.wav", "done")]
    assert "the next run tries again" in caplog.text
