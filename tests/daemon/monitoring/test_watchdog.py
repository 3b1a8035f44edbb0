"""What is sent to the service manager's watchdog, and when nothing is sent."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from house import House
from running_house import RunningHouse

from daemon.monitoring.sd_notify import is_watched, notify
from daemon.monitoring.status import Progress
from daemon.monitoring.watchdog import ServiceWatchdog
from storage.errors import LedgerUnavailable

STUCK = Progress(0.0, clips=7, recordings=3, in_flight=2)


class Manager:
    """The service manager's end: counts pings, keeps the last status."""

    def __init__(self) -> None:
        self.pings = 0
        self.status = ""

    def __call__(self, *lines: str) -> None:
        self.pings += "WATCHDOG=1" in lines
        statuses = [line for line in lines if line.startswith("STATUS=")]
        self.status = statuses[-1] if statuses else self.status


@pytest.fixture
def manager() -> Manager:
    return Manager()


@pytest.fixture
def watchdog(manager: Manager) -> ServiceWatchdog:
    return ServiceWatchdog(lambda: 210.0, lambda: True, manager)


def at(seconds: float) -> Progress:
    return STUCK._replace(at=seconds)


def test_a_daemon_with_nothing_to_do_is_alive(watchdog: ServiceWatchdog, manager: Manager) -> None:
    for hour in range(10):
        watchdog.report(Progress(3600.0 * hour, 7, 3), False, "")
    assert manager.pings == 10


def test_recordings_of_which_nothing_comes_past_all_deadlines_end_the_pings(
    watchdog: ServiceWatchdog, manager: Manager
) -> None:
    watchdog.report(at(0), False, "")
    watchdog.report(at(210), False, "")
    watchdog.report(at(211), False, "")
    assert manager.pings == 2
    assert "2 recordings in flight" in str(watchdog.faults())


def test_the_time_before_the_first_report_does_not_count(
    watchdog: ServiceWatchdog, manager: Manager
) -> None:
    watchdog.report(Progress(1e6, clips=0, recordings=0, in_flight=2), False, "")
    assert (manager.pings, watchdog.faults()) == (1, [])


def test_a_single_clip_more_is_progress(watchdog: ServiceWatchdog, manager: Manager) -> None:
    watchdog.report(at(0), False, "")
    watchdog.report(at(1000)._replace(clips=8), False, "")
    assert (manager.pings, watchdog.faults()) == (2, [])


def test_progress_after_all_brings_the_pings_back(
    watchdog: ServiceWatchdog, manager: Manager
) -> None:
    watchdog.report(at(0), False, "")
    watchdog.report(at(1000), False, "")
    watchdog.report(at(1001)._replace(recordings=4), False, "")
    assert (manager.pings, watchdog.faults()) == (2, [])


def test_a_ledger_that_is_waited_for_is_alive(watchdog: ServiceWatchdog, manager: Manager) -> None:
    for hour in range(10):
        watchdog.report(at(3600.0 * hour), True, "")
    assert manager.pings == 10


def test_a_big_file_may_be_silent_for_longer(watchdog: ServiceWatchdog, manager: Manager) -> None:
    watchdog.max_silence_seconds = lambda: 6000.0
    watchdog.report(at(0), False, "")
    watchdog.report(at(3600), False, "")
    assert manager.pings == 2


def test_the_status_is_sent_when_it_changes(watchdog: ServiceWatchdog, manager: Manager) -> None:
    watchdog.report(Progress(0.0, 0, 0), False, "3 pending")
    manager.status = ""
    watchdog.report(Progress(1.0, 0, 0), False, "3 pending")
    assert manager.status == ""
    watchdog.report(Progress(2.0, 0, 0), False, "2 pending")
    assert manager.status == "STATUS=2 pending"


@pytest.mark.parametrize(
    ("environ", "watched"),
    [
        ({}, False),
        ({"WATCHDOG_USEC": "60000000"}, True),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, True),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, False),
        ({"WATCHDOG_USEC": "0"}, False),
        ({"WATCHDOG_USEC": "soon"}, False),
    ],
)
def test_pings_are_for_the_process_that_was_asked_for_them(
    environ: dict[str, str], watched: bool
) -> None:
    assert is_watched(environ) is watched


def test_the_loop_pings_while_it_works_and_while_the_ledger_is_locked(
    house: House, audio_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise LedgerUnavailable("database is locked")

    house.begin_to_decode(audio_file())
    monkeypatch.setattr("daemon.control.ledger_retry.RETRY_SECONDS", 0)
    with monkeypatch.context() as locked:
        locked.setattr(house.ledger, "record", refuse)
        for _ in range(100):
            house.service.try_tick()
            house.now += 60
    assert sum("WATCHDOG=1" in words for words in house.notices) == 100


def test_a_pool_that_answers_nothing_any_more_ends_the_pings(
    house: House, audio_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    house.begin_to_decode(audio_file())
    monkeypatch.setattr(house.pool, "collect", list)
    for _ in range(10):
        house.service.try_tick()
        house.now += 60
    assert sum("WATCHDOG=1" in words for words in house.notices) < 6
    assert "nothing has come of 1 recordings" in str(house.statuses[-1]["faults"])


@pytest.fixture
def manager_socket(monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    address = f"\0clfd-test-{uuid4()}"  # a folder's name may be too long
    monkeypatch.setenv("NOTIFY_SOCKET", "@" + address[1:])
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(address)
    listener.settimeout(60)
    return listener


def test_words_of_one_message_stand_in_lines(manager_socket: socket.socket) -> None:
    with manager_socket:
        notify("STATUS=as it should be", "WATCHDOG=1")
        assert manager_socket.recv(4096) == b"STATUS=as it should be\nWATCHDOG=1"


def test_a_real_daemon_says_when_it_is_ready_then_pings_and_says_when_it_stops(
    manager_socket: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    checkpoint_file: Path,
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "5000000")
    house = RunningHouse(tmp_path / "home", checkpoint_file)
    received: list[str] = []

    def listen_until(word: str) -> None:
        while word not in received:
            received.extend(manager_socket.recv(4096).decode().splitlines())

    with manager_socket:
        try:
            house.launch()
            listen_until("READY=1")
            assert any(word.startswith("EXTEND_TIMEOUT_USEC=") for word in received)
            assert "WATCHDOG=1" not in received
            listen_until("WATCHDOG=1")
            assert any(
                word.startswith(f"STATUS={checkpoint_file.stem} on cpu") for word in received
            )
            house.daemon.terminate()
            listen_until("STOPPING=1")
            assert house.daemon.wait(60) == 0
        finally:
            house.close()
