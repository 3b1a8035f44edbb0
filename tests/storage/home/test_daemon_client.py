"""`clfd checkpoints activate --wait`: until the daemon serves it, or says why not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from running_house import RunningHouse

from storage.errors import StorageError
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.daemon_client import wait_until_served
from storage.home.daemon_lock import DaemonLock, holder, write_status
from storage.home.paths import Home

OLD, NEW = "20260101T000000Z-00000001", "20990101T000000Z-00000002"
BEFORE = {"checkpoint": OLD, "served_checkpoint": OLD, "heartbeat_at": "1"}
PREPARING = {"checkpoint": NEW, "served_checkpoint": OLD, "heartbeat_at": "2"}
REFUSED = {**PREPARING, "checkpoint_refused": "its weights are no numbers"}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A daemon holds it; the new checkpoint has just become active."""
    home = Home(tmp_path / "home")
    home.create()
    checkpoint_folder = CheckpointFolder(home.checkpoints)
    for name in (OLD, NEW):
        checkpoint_folder.path(name).touch()
        checkpoint_folder.activate(name)
    with DaemonLock.acquire(home):
        yield home


@pytest.fixture
def wait(home: Home) -> Callable[..., None]:
    """`wait(status, ...)`: the daemon writes one after the other, each while it is waited for."""

    def until_served(*statuses: Mapping[str, object]) -> None:
        daemon, now, left = holder(home), [0.0], list(statuses)
        assert daemon is not None

        def pass_time(seconds: float = 0.0) -> None:
            now[0] += seconds
            if left:
                write_status(home, {"pid": daemon.pid, **left.pop(0)})

        pass_time()
        wait_until_served(home, NEW, 60.0, lambda: now[0], pass_time)

    return until_served


def test_it_returns_when_the_daemon_serves_it(wait: Callable[..., None]) -> None:
    wait(BEFORE, PREPARING, {**PREPARING, "served_checkpoint": NEW})


def test_it_says_why_the_daemon_refused_it(wait: Callable[..., None]) -> None:
    with pytest.raises(StorageError, match=f"{OLD} goes on.*its weights are no numbers"):
        wait(BEFORE, PREPARING, REFUSED)


def test_an_earlier_refusal_of_the_same_checkpoint_is_no_answer(wait: Callable[..., None]) -> None:
    wait({**REFUSED, "heartbeat_at": "1"}, PREPARING, {**PREPARING, "served_checkpoint": NEW})


def test_one_that_was_activated_meanwhile_ends_the_waiting(
    home: Home, wait: Callable[..., None]
) -> None:
    CheckpointFolder(home.checkpoints).activate(OLD)
    with pytest.raises(StorageError, match=f"{OLD} was made active in place of {NEW}"):
        wait(BEFORE)


def test_a_daemon_that_takes_too_long_is_named(home: Home, wait: Callable[..., None]) -> None:
    with pytest.raises(StorageError, match=r"pid \d+.* has not done it within 60 s"):
        wait(BEFORE, PREPARING)


def test_without_a_daemon_it_says_what_holds(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"no daemon runs on .*served by the next `clfd run`"):
        wait_until_served(Home(tmp_path), NEW, 60.0)


def test_the_command_returns_when_a_real_daemon_serves_it(
    tmp_path: Path, checkpoint_file: Path, second_checkpoint: Path
) -> None:
    house = RunningHouse(tmp_path / "home", checkpoint_file)
    house.publish(second_checkpoint, second_checkpoint.stem)
    house.publish(checkpoint_file, checkpoint_file.stem)
    house.start()
    try:
        printed = house.typed("checkpoints", "activate", second_checkpoint.stem, "--wait")
        assert printed.exit_code == 0, printed.stderr
        assert house.status()["served_checkpoint"] == second_checkpoint.stem
        assert house.stop() == 0
    finally:
        house.close()
