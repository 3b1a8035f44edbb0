"""What is left out for its suffix is told wherever results are told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from house import House, HouseMaker
from moves import files_below

from daemon.intake.new_suffixes import FIRST_SUFFIXES
from daemon.setup.doctor import examine
from storage.home.daemon_lock import write_status
from storage.queries.daemon_status import status_lines, status_of
from storage.queries.ignored_files import ignored_now

AudioFile = Callable[..., Path]


@pytest.fixture
def card(house: House) -> House:
    """An inbox with sound that is left out, and with files that nobody misses."""
    for name in ("a.abc", "deep/b.ABC", "c.xyz", ".DS_Store", "a.wav~", ".hidden/d.abc"):
        path = house.inbox / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    return house


def test_one_run_tells_them(card: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    card.run_once()
    assert "3 files ignored: .abc 2, .xyz 1 (clfd scan)" in caplog.messages


def test_status_tells_them_with_a_daemon(card: House) -> None:
    card.live()
    assert card.statuses[-1]["ignored_suffixes"] == {".abc": 2, ".xyz": 1}


def test_status_tells_them_without_a_daemon(card: House) -> None:
    write_status(card.home, {"heartbeat_at": "2026-01-01T00:00:00.000Z", "stopping": True})
    status = status_of(card.home, card.settings.database, datetime.now(UTC))
    assert status["ignored"] == 3
    assert dict(status_lines(status))["ignored suffixes"] == ".abc: 2, .xyz: 1"


def test_the_doctor_notes_them(card: House) -> None:
    findings = [each for each in examine(card.home, card.settings) if each.subject == "inbox"]
    assert findings[1].level == "note"
    assert findings[1].text == "3 files ignored: .abc 2, .xyz 1 (clfd scan)"


def test_what_the_settings_ignore_is_not_told(make_house: HouseMaker) -> None:
    house = make_house(**{"intake.ignore": ["*.txt", "old"]})
    (house.inbox / "old").mkdir()
    for name in ("a.txt", "old/b.abc"):
        (house.inbox / name).write_bytes(b"x")
    assert ignored_now(house.settings) == {}
    house.live()
    assert house.statuses[-1]["ignored_suffixes"] == {}


def test_a_share_is_not_looked_at_without_a_daemon(
    card: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = card.mount._replace(kind="nfs4")
    monkeypatch.setattr("storage.queries.ignored_files.mount_of", lambda _: share)
    assert ignored_now(card.settings) == {}


# --- an upgrade that takes more


@pytest.fixture
def upgraded(make_house: HouseMaker, audio_file: AudioFile) -> Callable[[], House]:
    """A home of an older version, with an archive, and sound that it left out."""

    def make(*more: str) -> House:
        wanted = {"intake.archive_dir": "archive", "intake.suffixes": [*FIRST_SUFFIXES, *more]}
        return make_house(**wanted)

    house = make()
    house.drop(audio_file(), "a.wav")
    house.drop(audio_file(), "memo.bwf")
    house.live()
    house.home.suffixes_file.unlink()
    house.close()
    return lambda: make(".bwf")


def test_a_first_start_tells_files_of_a_new_suffix_and_takes_them(
    upgraded: Callable[[], House], caplog: pytest.LogCaptureFixture
) -> None:
    house = upgraded()
    house.run_once()
    assert house.rows() == [("a.wav", "done"), ("memo.bwf", "done")]
    assert [line for line in caplog.messages if line.startswith("1 files of .bwf")]


def test_they_are_archived_after_the_next_start_and_new_files_at_once(
    upgraded: Callable[[], House], audio_file: AudioFile
) -> None:
    house = upgraded()
    house.live()
    house.drop(audio_file(), "new.bwf")
    house.live()
    assert files_below(house.inbox) == ["memo.bwf"]
    house.close()
    again = upgraded()
    again.live()
    assert files_below(again.inbox) == []


def test_a_new_home_has_no_new_suffixes(
    make_house: HouseMaker, audio_file: AudioFile, caplog: pytest.LogCaptureFixture
) -> None:
    house = make_house(**{"intake.archive_dir": "archive", "intake.suffixes": [".bwf"]})
    house.drop(audio_file(), "memo.bwf")
    house.live()
    assert files_below(house.inbox) == []
    assert "of .bwf" not in caplog.text
