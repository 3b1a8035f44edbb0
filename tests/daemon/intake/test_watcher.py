from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.intake.watcher import FileWatcher


@pytest.fixture
def watcher(tmp_path: Path) -> Iterator[FileWatcher]:
    (tmp_path / "inbox").mkdir()
    watcher = FileWatcher([tmp_path / "inbox"])
    watcher.start()
    watcher.collect()
    yield watcher
    watcher.stop()


def test_a_queue_that_overflowed_asks_for_a_scan(watcher: FileWatcher) -> None:
    logging.getLogger("watchdog.observers.inotify_c").warning("inotify queue overflow")
    assert watcher.collect() == ([], True)
    assert watcher.collect() == ([], False)


def test_an_event_in_the_moment_of_the_stop_is_not_logged_as_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = logging.getLogger("watchdog.observers.inotify")
    logger.error("InotifyEmitter.queue_events() called when the thread is inactive")
    assert caplog.records == []


def test_an_inbox_that_was_replaced_is_watched_anew_and_scanned(
    watcher: FileWatcher, tmp_path: Path
) -> None:
    (tmp_path / "inbox").rename(tmp_path / "old")
    (tmp_path / "inbox").mkdir()
    watcher.supervise()
    assert watcher.watching == {str(tmp_path / "inbox"): "events and scans"}
    assert watcher.collect()[1]


def test_a_missing_inbox_is_not_called_watched(watcher: FileWatcher, tmp_path: Path) -> None:
    (tmp_path / "inbox").rmdir()
    watcher.supervise()
    assert watcher.watching == {str(tmp_path / "inbox"): "scans (missing or not readable)"}


def test_an_inbox_without_events_says_why_and_the_others_ring(tmp_path: Path) -> None:
    here, share = tmp_path / "here", tmp_path / "share"
    here.mkdir()
    share.mkdir()
    watcher = FileWatcher([here, share], why_unwatched={share: "nfs4 has no events"}.get)
    watcher.start()
    try:
        assert watcher.watching == {
            str(here): "events and scans",
            str(share): "scans (nfs4 has no events)",
        }
    finally:
        watcher.stop()


def test_a_watch_that_the_kernel_refused_is_noticed_and_told_once(
    watcher: FileWatcher, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watcher.compare_with(1)
    assert caplog.messages == []
    watcher.compare_with(7)  # folders, of which the kernel watches one
    assert caplog.messages == []  # they may be new
    for _ in range(2):
        watcher.compare_with(7)
    [message] = caplog.messages
    assert message.startswith("7 folders, events from 1 folders only")
    assert "max_user_watches" in watcher.watching[str(tmp_path / "inbox")]
    watcher.compare_with(1)
    assert watcher.watching[str(tmp_path / "inbox")] == "events and scans"


def test_an_inbox_that_is_a_link_to_a_folder_rings(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "inbox").symlink_to(tmp_path / "elsewhere")
    rang = threading.Event()
    watcher = FileWatcher([tmp_path / "inbox"], rang.set)
    watcher.start()
    try:
        (tmp_path / "elsewhere" / "a.wav").write_bytes(b"x")
        assert rang.wait(30)
        [event], scan_wanted = watcher.collect()
        assert (event.root, event.path, scan_wanted) == (tmp_path / "inbox", b"a.wav", False)
    finally:
        watcher.stop()


def test_a_watcher_that_died_is_replaced_and_the_inbox_scanned(
    watcher: FileWatcher, tmp_path: Path
) -> None:
    assert watcher._observer is not None
    for emitter in watcher._observer.emitters:
        emitter.stop()
        emitter.join()
    assert watcher.collect() == ([], False)  # nothing was noted
    watcher.supervise()
    assert watcher.collect()[1]
    assert all(emitter.is_alive() for emitter in watcher._observer.emitters)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_observer_that_an_exception_killed_is_replaced(
    watcher: FileWatcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    died = watcher._observer
    assert died is not None
    with monkeypatch.context() as broken:
        broken.setattr("daemon.intake.watcher._Handler.on_any_event", lambda *_: 1 / 0)
        (tmp_path / "inbox" / "a.wav").touch()
        died.join(10)
    assert not died.is_alive()
    watcher.supervise()
    assert watcher._observer is not died
    assert watcher.collect()[1]


def events_until(watcher: FileWatcher, name: bytes, was_closed: bool) -> set[tuple[bytes, bool]]:
    """Path and `was_closed` of each event up to the awaited one."""
    seen: set[tuple[bytes, bool]] = set()
    end = time.monotonic() + 30
    while (name, was_closed) not in seen:
        assert time.monotonic() < end, seen
        seen |= {(event.path, event.was_closed) for event in watcher.collect()[0]}
        time.sleep(0.001)
    return seen


def test_a_file_rings_as_closed_when_its_writer_closes_it_and_not_before(
    watcher: FileWatcher, tmp_path: Path
) -> None:
    with (tmp_path / "inbox" / "a.wav").open("wb") as file:
        file.write(b"x")
        assert events_until(watcher, b"a.wav", False) == {(b"a.wav", False)}
    assert events_until(watcher, b"a.wav", True) == {(b"a.wav", True)}


def test_a_file_is_known_to_be_open_from_a_write_to_its_close(
    watcher: FileWatcher, tmp_path: Path
) -> None:
    key = (tmp_path / "inbox", b"a.wav")
    with (tmp_path / "inbox" / "a.wav").open("wb", buffering=0) as file:
        file.write(b"x")
        wait_until(lambda: watcher.writes.is_open(key, 1) is True)
    wait_until(lambda: watcher.writes.is_open(key, 1) is False)
    with (tmp_path / "inbox" / "a.wav").open("ab", buffering=0) as file:
        file.write(b"x")
        wait_until(lambda: watcher.writes.is_open(key, 1) is True)
        (tmp_path / "inbox" / "a.wav").rename(tmp_path / "inbox" / "b.wav")
        wait_until(lambda: watcher.writes.is_open((key[0], b"b.wav"), 1) is True)
    wait_until(lambda: watcher.writes.is_open((key[0], b"b.wav"), 1) is False)


def test_another_mode_of_a_file_does_not_make_it_open(watcher: FileWatcher, tmp_path: Path) -> None:
    (tmp_path / "inbox" / "a.wav").write_bytes(b"x")
    events_until(watcher, b"a.wav", True)
    (tmp_path / "inbox" / "a.wav").chmod(0o600)
    (tmp_path / "inbox" / "b.wav").write_bytes(b"x")
    events_until(watcher, b"b.wav", True)
    assert watcher.writes.is_open((tmp_path / "inbox", b"a.wav"), 1) is False


def test_a_queue_that_overflowed_leaves_no_file_open(watcher: FileWatcher, tmp_path: Path) -> None:
    watcher.writes.written((tmp_path / "inbox", b"a.wav"))
    logging.getLogger("watchdog.observers.inotify_c").warning("inotify queue overflow")
    assert watcher.writes.is_open((tmp_path / "inbox", b"a.wav"), 1) is None


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.mark.parametrize("origin", ["elsewhere/a.part", "inbox/.a.part"])
def test_a_file_that_got_its_name_by_a_move_rings_as_closed(
    watcher: FileWatcher, tmp_path: Path, origin: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / origin).write_bytes(b"x")
    (tmp_path / origin).rename(tmp_path / "inbox" / "a.wav")
    assert (b"a.wav", False) not in events_until(watcher, b"a.wav", True)


def test_a_file_that_was_only_linked_rings_as_one_that_may_have_just_begun(
    watcher: FileWatcher, tmp_path: Path
) -> None:
    (tmp_path / "a.wav").write_bytes(b"x")
    (tmp_path / "inbox" / "a.wav").hardlink_to(tmp_path / "a.wav")
    (tmp_path / "inbox" / "b.wav").write_bytes(b"x")
    seen = events_until(watcher, b"b.wav", True)
    assert (b"a.wav", False) in seen
    assert (b"a.wav", True) not in seen


def test_what_leaves_does_not_ring(watcher: FileWatcher, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    (inbox / "folder").mkdir()
    (inbox / "a.wav").write_bytes(b"x")
    events_until(watcher, b"a.wav", True)
    (inbox / "a.wav").rename(tmp_path / "a.wav")
    (inbox / "folder").rename(tmp_path / "folder")
    (inbox / "b.wav").write_bytes(b"x")
    assert {path for path, _ in events_until(watcher, b"b.wav", True)} == {b"b.wav"}
