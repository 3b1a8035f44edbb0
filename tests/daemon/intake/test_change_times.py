"""Rest before the first look: what change times tell, and where they are not relied on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from house import House

from classifier.audio.regular_file import fingerprint
from daemon.intake.change_times import ChangeTimes
from daemon.intake.open_files import OpenFiles
from storage.home.mounts import Mount
from storage.ledger.outcomes import Arrival

AudioFile = Callable[..., Path]


class Clocks:
    """Both show the time since the file changed, but for what the wall clock was `set` forward."""

    def __init__(self, seconds: float) -> None:
        self.now, self.set = seconds, 0.0

    def wall(self) -> float:
        return 1000 + self.now + self.set

    def monotonic(self) -> float:
        return self.now


def arrival(inbox: Path, changed: float = 1000.001, device: int | None = None) -> Arrival:
    device = os.stat(inbox).st_dev if device is None else device
    return Arrival(inbox, b"a.wav", f"{device}:1:10:0:{round(changed * 1e9)}", 10)


def change_times(inbox: Path, clocks: Clocks, kind: str = "ext4") -> ChangeTimes:
    times = ChangeTimes(lambda _: Mount(Path("/"), kind), clocks.wall, clocks.monotonic)
    times.look_at([inbox])
    return times


def test_a_file_rests_since_its_last_change(tmp_path: Path) -> None:
    times = change_times(tmp_path, Clocks(5))
    assert times.rest_seconds(arrival(tmp_path)) == pytest.approx(4.999)


def test_a_copy_that_keeps_its_old_date_has_just_changed(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(b"sound")
    os.utime(file, (0, 0))
    times = change_times(tmp_path, Clocks(time.time() - 1000))
    found = Arrival(tmp_path, b"a.wav", fingerprint(file.stat()), 5)
    assert times.rest_seconds(found) < 60


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "vfat", "exfat", "fuseblk", "fuse.sshfs"])
def test_of_shares_and_cards_nothing_is_known(tmp_path: Path, kind: str) -> None:
    assert change_times(tmp_path, Clocks(5), kind).rest_seconds(arrival(tmp_path)) == 0


def test_of_a_mount_below_the_inbox_nothing_is_known(tmp_path: Path) -> None:
    assert change_times(tmp_path, Clocks(5)).rest_seconds(arrival(tmp_path, device=0)) == 0


def test_of_an_inbox_that_is_away_nothing_is_known(tmp_path: Path) -> None:
    times = change_times(tmp_path, Clocks(5))
    times.look_at([tmp_path / "away"])
    assert times.rest_seconds(arrival(tmp_path)) == 0


def test_a_change_in_the_future_is_no_rest(tmp_path: Path) -> None:
    assert change_times(tmp_path, Clocks(5)).rest_seconds(arrival(tmp_path, 2000.5)) == 0


def test_where_whole_seconds_are_counted_the_change_may_be_a_second_later(tmp_path: Path) -> None:
    assert change_times(tmp_path, Clocks(5)).rest_seconds(arrival(tmp_path, 1000)) == 4


def test_a_clock_that_is_set_forward_makes_no_rest(tmp_path: Path) -> None:
    clocks = Clocks(5)
    times = change_times(tmp_path, clocks)
    clocks.set = 3600
    assert times.rest_seconds(arrival(tmp_path)) == pytest.approx(4.999)


def test_nor_does_one_that_is_set_back_and_forward_again(tmp_path: Path) -> None:
    clocks = Clocks(5)
    times = change_times(tmp_path, clocks)
    clocks.set = -60
    written_then = arrival(tmp_path, clocks.wall() + 0.001)
    assert times.rest_seconds(written_then) == 0
    clocks.set = 0
    assert times.rest_seconds(written_then) == 0


# --- in the house


@pytest.fixture
def old_house(house: House) -> House:
    """What lies in its inbox has been there for an hour."""
    house.intake.change_times = ChangeTimes(
        lambda _: Mount(Path("/"), "ext4"), lambda: time.time() + 3600
    )
    return house


def test_what_has_been_at_rest_since_long_is_taken_at_the_first_look(
    old_house: House, audio_file: AudioFile
) -> None:
    old_house.drop(audio_file(), "a.wav")
    old_house.service.tick(old_house.now)
    assert old_house.rows() == [("a.wav", "done")]


def test_what_somebody_has_open_is_not(old_house: House, audio_file: AudioFile) -> None:
    with old_house.drop(audio_file(), "a.wav").open("ab"):
        old_house.live(10)
        assert old_house.rows() == []
    old_house.live(10)
    assert old_house.rows() == [("a.wav", "done")]


def test_what_somebody_may_have_open_settles(
    old_house: House, audio_file: AudioFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OpenFiles, "_lease_tells", lambda *_: None)
    old_house.drop(audio_file(), "a.wav")
    old_house.live(1.9)
    assert old_house.rows() == []
    old_house.live(1)
    assert old_house.rows() == [("a.wav", "done")]


def test_a_file_that_arrives_while_the_daemon_runs_settles(
    old_house: House, audio_file: AudioFile
) -> None:
    old_house.live()
    old_house.drop(audio_file(), "a.wav")
    old_house.watcher.ring(old_house.inbox, b"a.wav")
    old_house.live(1.9)
    assert old_house.rows() == []
