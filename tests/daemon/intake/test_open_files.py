"""Who has a file open for writing: what events say of it, and what the kernel says."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.control.signals import handled_signals
from daemon.intake import open_files
from daemon.intake.open_files import OpenFiles, WriteEvents, lease_tells
from storage.home.mounts import Mount

KEY = (Path("/inbox"), b"a.wav")
PART = (Path("/inbox"), b"a.part")


@pytest.fixture
def events() -> WriteEvents:
    return WriteEvents()


def test_a_file_of_which_there_was_no_event_may_be_open_or_not(events: WriteEvents) -> None:
    assert events.is_open(KEY, 10) is None


def test_a_file_is_open_from_its_first_write_to_its_close(events: WriteEvents) -> None:
    events.created(KEY)
    events.written(KEY)
    assert events.is_open(KEY, 10)
    events.closed(KEY)
    assert events.is_open(KEY, 10) is False


def test_a_closed_file_that_is_written_again_is_open(events: WriteEvents) -> None:
    events.closed(KEY)
    events.written(KEY)
    assert events.is_open(KEY, 10)


def test_an_empty_file_that_was_created_is_open_and_a_link_to_a_full_one_may_be(
    events: WriteEvents,
) -> None:
    events.created(KEY)
    assert events.is_open(KEY, 0)
    assert events.is_open(KEY, 10) is None


def test_a_file_moved_here_is_closed_and_one_renamed_by_its_writer_is_open(
    events: WriteEvents,
) -> None:
    events.moved(None, KEY)
    assert events.is_open(KEY, 10) is False
    events.written(PART)
    events.moved(PART, KEY)
    assert events.is_open(KEY, 10)
    assert events.is_open(PART, 10) is None


def test_what_left_is_forgotten(events: WriteEvents) -> None:
    events.written(KEY)
    events.moved(KEY, None)
    assert events.is_open(KEY, 10) is None


def test_lost_events_tell_nothing_of_any_file(events: WriteEvents) -> None:
    events.written(KEY)
    events.closed(PART)
    events.forget()
    assert events.is_open(KEY, 10) is events.is_open(PART, 10) is None


def test_the_newest_files_are_remembered(
    events: WriteEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_files, "MAX_REMEMBERED", 1)
    for note, is_open in ((events.closed, False), (events.written, True)):
        note(PART)
        note(KEY)
        assert events.is_open(PART, 10) is None
        assert events.is_open(KEY, 10) is is_open


# --- the kernel


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    path.write_bytes(b"sound")
    return path


@pytest.fixture
def handle(file: Path) -> Iterator[int]:
    handle = os.open(file, os.O_RDONLY)
    yield handle
    os.close(handle)


def test_the_kernel_knows_who_writes_into_a_file_of_ones_own(file: Path, handle: int) -> None:
    with file.open("ab"):
        assert lease_tells(handle)
    assert lease_tells(handle) is False


def test_readers_are_no_writers(file: Path, handle: int) -> None:
    with file.open("rb"):
        assert lease_tells(handle) is False


def test_the_kernel_does_not_tell_of_files_of_others(
    handle: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    assert lease_tells(handle) is None


def test_a_writer_that_opens_the_file_in_the_moment_of_the_lease_waits_for_its_end(
    file: Path, handle: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel sends a signal then, whose default would end this process."""
    signals = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGIO)
    before = {number: signal.getsignal(number) for number in signals}
    opened, writers = threading.Event(), list[threading.Thread]()

    def write() -> None:
        with file.open("ab") as writer:
            opened.set()
            writer.write(b" and more")

    def with_an_opener_in_between(file: int, command: int, argument: int) -> None:
        if argument == fcntl.F_UNLCK:
            writers.append(threading.Thread(target=write))
            writers[0].start()
            assert not opened.wait(0.2)
        original(file, command, argument)

    original = fcntl.fcntl
    try:
        with handled_signals(lambda: None, lambda: None):
            monkeypatch.setattr(fcntl, "fcntl", with_an_opener_in_between)
            assert lease_tells(handle) is False
            assert opened.wait(30)
            writers[0].join()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert file.read_bytes() == b"sound and more"


# --- both


def at(kind: str, events: WriteEvents) -> OpenFiles:
    return OpenFiles(events, tuple, lambda _: Mount(Path("/"), kind))


def test_where_events_tell_nothing_the_kernel_is_asked(file: Path, events: WriteEvents) -> None:
    asked = at("ext4", events)
    with file.open("ab"):
        assert asked.is_open(file.parent, b"a.wav", 5)
    assert asked.is_open(file.parent, b"a.wav", 5) is False


def test_the_kernel_contradicts_events_whose_close_was_missed(
    file: Path, events: WriteEvents
) -> None:
    events.written((file.parent, b"a.wav"))
    assert at("ext4", events).is_open(file.parent, b"a.wav", 5) is False


def test_of_a_share_the_kernel_knows_its_own_writers_only(file: Path, events: WriteEvents) -> None:
    assert at("nfs4", events).is_open(file.parent, b"a.wav", 5) is None


def test_each_inbox_has_its_witness(file: Path, events: WriteEvents) -> None:
    inbox = file.parent
    assert at("ext4", events).witness(inbox) == "events"
    for kind, witness in (("ext4", "lease"), ("nfs4", "settling")):
        without = OpenFiles(events, lambda: [inbox], lambda _, kind=kind: Mount(Path("/"), kind))
        assert without.witness(inbox) == witness
        without.is_open(inbox, b"a.wav", 5)
        assert without.witness(inbox) == witness
