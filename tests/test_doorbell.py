from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.doorbell import Doorbell


@pytest.fixture
def doorbell(tmp_path: Path) -> Iterator[Doorbell]:
    (tmp_path / "inbox").mkdir()
    doorbell = Doorbell([tmp_path / "inbox"])
    doorbell.start()
    doorbell.collect()
    yield doorbell
    doorbell.stop()


def test_a_queue_that_overflowed_asks_for_a_scan(doorbell: Doorbell) -> None:
    logging.getLogger("watchdog.observers.inotify_c").warning("inotify queue overflow")
    assert doorbell.collect() == ([], True)
    assert doorbell.collect() == ([], False)


def test_an_event_in_the_moment_of_the_stop_is_not_logged_as_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = logging.getLogger("watchdog.observers.inotify")
    logger.error("InotifyEmitter.queue_events() called when the thread is inactive")
    assert caplog.records == []


def test_an_inbox_that_was_replaced_is_watched_anew_and_scanned(
    doorbell: Doorbell, tmp_path: Path
) -> None:
    (tmp_path / "inbox").rename(tmp_path / "old")
    (tmp_path / "inbox").mkdir()
    doorbell.supervise()
    assert doorbell.watching == {str(tmp_path / "inbox"): "events and scans"}
    assert doorbell.collect()[1]


def test_a_missing_inbox_is_not_called_watched(doorbell: Doorbell, tmp_path: Path) -> None:
    (tmp_path / "inbox").rmdir()
    doorbell.supervise()
    assert doorbell.watching == {str(tmp_path / "inbox"): "scans (missing or not readable)"}


def test_an_inbox_without_events_says_why_and_the_others_ring(tmp_path: Path) -> None:
    here, share = tmp_path / "here", tmp_path / "share"
    here.mkdir()
    share.mkdir()
    doorbell = Doorbell([here, share], why_deaf={share: "nfs4 has no events"}.get)
    doorbell.start()
    try:
        assert doorbell.watching == {
            str(here): "events and scans",
            str(share): "scans (nfs4 has no events)",
        }
    finally:
        doorbell.stop()


def test_a_watch_that_the_kernel_refused_is_noticed_and_told_once(
    doorbell: Doorbell, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    doorbell.compare_with(1)
    assert caplog.messages == []
    doorbell.compare_with(7)  # folders, of which the kernel watches one
    assert caplog.messages == []  # they may be new
    for _ in range(2):
        doorbell.compare_with(7)
    [told] = caplog.messages
    assert told.startswith("7 folders, events from 1 folders only")
    assert "max_user_watches" in doorbell.watching[str(tmp_path / "inbox")]
    doorbell.compare_with(1)
    assert doorbell.watching[str(tmp_path / "inbox")] == "events and scans"


def test_an_inbox_that_is_a_link_to_a_folder_rings(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "inbox").symlink_to(tmp_path / "elsewhere")
    rang = threading.Event()
    doorbell = Doorbell([tmp_path / "inbox"], rang.set)
    doorbell.start()
    try:
        (tmp_path / "elsewhere" / "a.wav").write_bytes(b"x")
        assert rang.wait(30)
        assert doorbell.collect() == ([(tmp_path / "inbox", b"a.wav")], False)
    finally:
        doorbell.stop()


def test_a_watcher_that_died_is_replaced_and_the_inbox_scanned(
    doorbell: Doorbell, tmp_path: Path
) -> None:
    assert doorbell._observer is not None
    for emitter in doorbell._observer.emitters:
        emitter.stop()
        emitter.join()
    assert doorbell.collect() == ([], False)  # nobody told
    doorbell.supervise()
    assert doorbell.collect()[1]
    assert all(emitter.is_alive() for emitter in doorbell._observer.emitters)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_observer_that_an_exception_killed_is_replaced(
    doorbell: Doorbell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    died = doorbell._observer
    assert died is not None
    with monkeypatch.context() as broken:
        broken.setattr("daemon.doorbell._Handler.on_any_event", lambda *_: 1 / 0)
        (tmp_path / "inbox" / "a.wav").touch()
        died.join(10)
    assert not died.is_alive()
    doorbell.supervise()
    assert doorbell._observer is not died
    assert doorbell.collect()[1]
