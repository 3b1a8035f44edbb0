"""Opening a ledger, in a file or on a server: by role, made where it is missing."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from storage.database import sqlite_schema
from storage.database.database import Database, Role
from storage.database.ledger_files import file_of, is_on_server

logger = logging.getLogger(__name__)


def open_database(url: str, role: Role) -> Database:
    """Open the ledger's database; `daemon` and `writer` make it first, and upgrade a file.

    `editor` writes to an existing ledger of this version, `pruner` as well but holds no foreign
    keys, `reader` never writes. Raises ConfigurationError, LedgerMissing, LedgerDamaged,
    SchemaMismatch or LedgerUnavailable.
    """
    if is_on_server(url):
        return _server().open_ledger_on(url, role)  # type: ignore[no-any-return]
    return sqlite_schema.open_file(url, role)


def upgrade(
    url: str, tell: Callable[[str], None] = logger.info, beside: Path | None = None
) -> Path | None:
    """Bring a ledger to this version; returns the backup, None if it was current.

    The backup of one on a server lies `beside` this file. Raises as `open_database`, and
    AlreadyRunning where daemons live on a server.
    """
    if is_on_server(url):
        return _server().upgrade(url, tell, beside or Path("clfd.db"))  # type: ignore[no-any-return]
    return sqlite_schema.upgrade(url, tell)


def is_outdated(url: str) -> bool:
    """Whether there is a ledger, and one that would be upgraded by whoever opens it as daemon.

    Raises as `open_database`.
    """
    return not is_on_server(url) and sqlite_schema.is_outdated(url)


def local_file(url: str) -> Path | None:
    """Where the ledger is a file. Raises ConfigurationError for another kind of database."""
    return None if is_on_server(url) else file_of(url)


def _server() -> ModuleType:
    """Loaded where it is asked for: few need it, and its driver is an extra."""
    return importlib.import_module("storage.database.server.postgresql_schema")
