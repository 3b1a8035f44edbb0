"""Log lines on stderr: one per event, for people, for machines, or for systemd's journal."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from daemon.monitoring.journald import JournalHandler, fields_of, is_journal
from storage.settings.schema import LogSettings


class JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


def start_logging(settings: LogSettings, verbosity: int) -> None:
    """`-v` and `-q` shift the level that the settings name. Safe to repeat with others."""
    level = getattr(logging, settings.level.upper()) - 10 * verbosity
    root = logging.getLogger()
    before, root.handlers[:] = list(root.handlers), [_handler(settings.format)]
    for handler in before:
        handler.close()
    root.setLevel(logging.WARNING)  # other people's libraries
    for package in ("classifier", "daemon", "storage"):
        logging.getLogger(package).setLevel(max(level, logging.DEBUG))


def _handler(log_format: str) -> logging.Handler:
    if log_format == "auto" and is_journal(sys.stderr):
        return JournalHandler()
    handler = logging.StreamHandler(sys.stderr)
    plain = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%S")
    handler.setFormatter(JsonLine() if log_format == "json" else plain)
    return handler
