"""Log records to systemd's journal, each with its fields: the journal's native protocol.

Its fields can be asked for (`journalctl -u clfd CLFD_RECORDING=a.wav`); the other way, a prefix
`<4>` before each line on stderr, brings no more than a priority. It is used where the journal does
not take a record, one that is too long, say.
https://systemd.io/JOURNAL_NATIVE_PROTOCOL
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Mapping
from typing import TextIO

SOCKET = "/run/systemd/journal/socket"
PRIORITIES = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}


def is_journal(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the stream leads straight into the journal, as the service manager says it does."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def about(**fields: object) -> dict[str, object]:
    """What an event is about, for machines: `logger.info("...", extra=about(recording=path))`."""
    return {"fields": fields}


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """The fields that `about` gave it."""
    return dict(getattr(record, "fields", {}))


class JournalHandler(logging.Handler):
    """A datagram for each record; what does not get through is a line on `stream`."""

    def __init__(self, address: str = SOCKET, stream: TextIO | None = None) -> None:
        super().__init__()
        self._address = address
        self._stream = stream or sys.stderr
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def emit(self, record: logging.LogRecord) -> None:
        priority = PRIORITIES.get(record.levelno, 6)
        message = self.format(record)
        try:
            self._socket.sendto(_packed(_fields(record, priority, message)), self._address)
        except OSError:
            lines = "".join(f"<{priority}>{line}\n" for line in message.splitlines())
            try:
                self._stream.write(lines)
                self._stream.flush()
            except OSError:  # nobody reads the log: that must not end the work
                self.handleError(record)

    def close(self) -> None:
        self._socket.close()
        super().close()


def _fields(record: logging.LogRecord, priority: int, message: str) -> dict[str, object]:
    return {
        "MESSAGE": message,
        "PRIORITY": priority,
        "SYSLOG_IDENTIFIER": "clfd",
        "CODE_FILE": record.pathname,
        "CODE_LINE": record.lineno,
        "CODE_FUNC": record.funcName,
        "CLFD_LOGGER": record.name,
        **{f"CLFD_{name.upper()}": value for name, value in fields_of(record).items()},
    }


def _packed(fields: Mapping[str, object]) -> bytes:
    """Each value has its length before it, so that it may hold anything, ends of lines included."""
    packed = b""
    for name, value in fields.items():
        data = str(value).encode("utf-8", "backslashreplace")
        packed += b"%s\n%s%s\n" % (name.encode(), len(data).to_bytes(8, "little"), data)
    return packed
