"""Log lines on stderr: one line per event, for people or, as JSON, for machines."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from storage.settings import Log


class PlainLine(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%S")


class JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def start_logging(settings: Log, verbosity: int) -> None:
    """`-v` and `-q` shift the level that the settings name."""
    level = getattr(logging, settings.level.upper()) - 10 * verbosity
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLine() if settings.format == "json" else PlainLine())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # other people's libraries
    for ours in ("classifier", "daemon", "storage"):
        logging.getLogger(ours).setLevel(max(level, logging.DEBUG))
