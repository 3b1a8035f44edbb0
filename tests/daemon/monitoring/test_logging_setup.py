"""What the log looks like: to people, to machines, and in systemd's journal."""

from __future__ import annotations

import io
import json
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from house import House

from daemon.monitoring.journald import JournalHandler, about, fields_of, is_journal
from daemon.monitoring.logging_setup import start_logging
from storage.settings.schema import LogSettings


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.handlers[:] = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("classifier", "daemon", "storage"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def journal() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("")  # at an abstract address of the kernel's choice
        receiver.settimeout(10)
        yield receiver


def record(message: str, level: int = logging.WARNING, **fields: object) -> logging.LogRecord:
    values = {"msg": message, "levelno": level, "name": "daemon.pipeline.window", **about(**fields)}
    return logging.makeLogRecord(values)


def fields_in(datagram: bytes) -> dict[str, str]:
    found = {}
    while datagram:
        name, rest = datagram.split(b"\n", 1)
        length = int.from_bytes(rest[:8], "little")
        found[name.decode()] = rest[8 : 8 + length].decode()
        assert rest[8 + length : 9 + length] == b"\n"
        datagram = rest[9 + length :]
    return found


def test_the_journal_gets_priority_and_fields(journal: socket.socket) -> None:
    handler = JournalHandler(journal.getsockname())
    handler.emit(record("a.wav failed: it is empty", recording="a.wav", kind="empty"))
    handler.close()
    sent = fields_in(journal.recv(65_536))
    assert sent["MESSAGE"] == "a.wav failed: it is empty"
    assert sent["PRIORITY"] == "4"
    assert (sent["CLFD_RECORDING"], sent["CLFD_KIND"]) == ("a.wav", "empty")
    assert sent["SYSLOG_IDENTIFIER"] == "clfd"


@pytest.mark.parametrize("value", ["two\nlines", "MESSAGE=other", "", "\udcff"])
def test_no_value_can_pretend_to_be_a_field(journal: socket.socket, value: str) -> None:
    handler = JournalHandler(journal.getsockname())
    handler.emit(record("it failed", recording=value))
    handler.close()
    sent = fields_in(journal.recv(65_536))
    assert sent["MESSAGE"] == "it failed"
    assert sent["CLFD_RECORDING"] == value.encode("utf-8", "backslashreplace").decode()


def test_what_the_journal_does_not_take_is_a_line_with_its_priority(tmp_path: Path) -> None:
    stream = io.StringIO()
    handler = JournalHandler(str(tmp_path / "nobody"), stream)
    handler.emit(record("first\nsecond", logging.ERROR))
    handler.close()
    assert stream.getvalue() == "<3>first\n<3>second\n"


def test_a_record_that_is_too_long_for_a_datagram_is_a_line(journal: socket.socket) -> None:
    stream = io.StringIO()
    handler = JournalHandler(journal.getsockname(), stream)
    handler.emit(record("x" * 2**22))
    handler.close()
    assert len(stream.getvalue()) > 2**22


def test_a_stream_is_the_journal_where_the_manager_says_so(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        found = os.fstat(stream.fileno())
        here = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        assert is_journal(stream, here)
        assert not is_journal(stream, {"JOURNAL_STREAM": "1:2"})
        assert not is_journal(stream, {})
        assert not is_journal(io.StringIO(), here)


def test_elsewhere_auto_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging(LogSettings(), 0)
    logging.getLogger("daemon.pipeline.window").warning(
        "a.wav failed", extra=about(recording="a.wav")
    )
    assert capsys.readouterr().err.endswith(" WARNING a.wav failed\n")


def test_json_has_an_object_a_line_with_the_fields(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging(LogSettings(format="json"), 0)
    logging.getLogger("daemon.pipeline.window").warning(
        "a.wav failed", extra=about(recording="a.wav")
    )
    [line] = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert (entry["message"], entry["level"]) == ("a.wav failed", "warning")
    assert entry["recording"] == "a.wav"


def test_another_level_holds_from_the_next_line_on(capsys: pytest.CaptureFixture[str]) -> None:
    start_logging(LogSettings(), 0)
    start_logging(LogSettings(level="warning"), 0)
    logging.getLogger("daemon").info("left out")
    logging.getLogger("daemon").warning("written")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_failing_file_is_one_line_with_its_fields(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    (house.inbox / "bad.wav").write_bytes(b"<html>404</html>")
    house.live()
    [line] = [record for record in caplog.records if "bad.wav" in record.getMessage()]
    assert "\n" not in line.getMessage()
    assert line.exc_info is None
    assert fields_of(line)["recording"] == "bad.wav"
