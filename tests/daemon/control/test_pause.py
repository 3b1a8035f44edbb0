"""The intake held and released while the daemon goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from house import House, HouseMaker
from running_house import RunningHouse

from clfd import cli
from daemon.control.pause import Pause
from storage.errors import StorageError
from storage.home.paths import Home
from storage.home.pause_file import pause, paused_since, resume


def test_a_held_intake_takes_nothing_until_it_is_released(
    house: House, audio_file: Callable[..., Path]
) -> None:
    pause(house.home)
    house.drop(audio_file(), "a.wav")
    house.watcher.ring(house.inbox, b"a.wav", was_closed=True)
    house.live(100)
    assert house.rows() == []
    resume(house.home)
    house.live()
    assert house.rows() == [("a.wav", "done")]


def test_what_is_in_flight_is_finished(
    house: House, audio_file: Callable[..., Path], noise: Callable[..., np.ndarray]
) -> None:
    house.begin_to_decode(audio_file("long.wav", noise(seconds=100)))
    pause(house.home)
    house.live(5)
    assert house.rows() == [("a.wav", "done")]


def test_what_was_queued_again_waits_as_well(house: House, audio_file: Callable[..., Path]) -> None:
    (house.inbox / "a.wav").write_bytes(b"bad")
    house.live()
    pause(house.home)
    house.live(1)
    house.ledger.requeue_failed()
    house.live(20)
    assert house.ledger.has_work()


def test_a_checkpoint_is_taken_over_meanwhile(house: House, second_checkpoint: Path) -> None:
    pause(house.home)
    house.live(1)
    name = house.publish(second_checkpoint)
    house.live(1)
    assert house.model._candidate is not None
    house.model._candidate[1].exception(timeout=60)
    house.live(1)
    assert house.model.served.name == name


def test_it_holds_over_a_restart(make_house: HouseMaker, audio_file: Callable[..., Path]) -> None:
    house = make_house()
    pause(house.home)
    house.drop(audio_file(), "a.wav")
    restarted = make_house()
    restarted.live()
    assert restarted.rows() == []


def test_the_status_says_since_when(house: House) -> None:
    house.live(1)
    pause(house.home)
    os.utime(house.home.pause_file, (1e9, 1e9))
    house.live(2)
    before, now = house.statuses[0], house.statuses[-1]
    assert (before["paused"], before["paused_since"]) == (False, None)
    assert (now["paused"], now["paused_since"]) == (True, "2001-09-09T01:46:40.000Z")


def test_a_held_daemon_rests(house: House) -> None:
    house.live(1)
    pause(house.home)
    house.live(100)
    assert not house.service.tick(house.now)
    assert house.service.seconds_to_rest() > 0.1


def test_a_home_that_cannot_be_looked_at_changes_nothing() -> None:
    answers = iter(["2026-01-01T00:00:00.000Z", StorageError("permission denied"), None])

    def look() -> str | None:
        answer = next(answers)
        if isinstance(answer, StorageError):
            raise answer
        return answer

    held = Pause(look)
    seen = []
    for second in range(3):
        held.step(float(second))
        seen.append(held.since is not None)
    assert seen == [True, True, False]


def test_holding_twice_keeps_the_first_moment(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert pause(home)
    first = paused_since(home)
    assert not pause(home)
    assert paused_since(home) == first
    assert resume(home)
    assert not resume(home)
    assert paused_since(home) is None


def test_the_commands_say_what_holds_without_a_daemon(tmp_path: Path) -> None:
    Home(tmp_path).create()

    def clfd(*words: str) -> str:
        done = CliRunner().invoke(cli, ["--home", str(tmp_path), "service", *words])
        assert done.exit_code == 0
        return done.stderr

    assert "is held now; no daemon runs" in clfd("pause")
    assert "is held already, since 20" in clfd("pause")
    assert "is released" in clfd("resume")
    assert "is not held" in clfd("resume")


def test_a_pause_in_no_home_is_refused_with_what_to_do(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["--home", str(tmp_path), "service", "pause"])
    assert done.exit_code == 78
    assert f"{tmp_path} is no home of clfd; `clfd init` makes one there" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def running(tmp_path: Path, checkpoint_file: Path) -> RunningHouse:
    return RunningHouse(tmp_path / "home", checkpoint_file)


def test_a_real_daemon_holds_and_goes_on(
    running: RunningHouse, audio_file: Callable[..., Path]
) -> None:
    assert running.typed("service", "pause").exit_code == 0
    once = running.typed("run", "--once")
    assert (once.exit_code, "`clfd service resume` releases it" in once.stderr) == (1, True)
    asleep = json.loads(running.typed("status", "--json").stdout)
    assert (asleep["running"], asleep["paused"]) == (False, True)
    try:
        running.start()
        audio_file().rename(running.home.inbox / "a.wav")
        assert "paused since" in running.typed("status").stdout
        assert running.states() == {}
        assert running.typed("service", "resume").exit_code == 0
        running.wait_for_rows(1)
        assert running.stop() == 0
    finally:
        running.close()
