"""A ledger in an SQLite file: made where it is missing, upgraded where it is old."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from glob import escape
from pathlib import Path

from sqlalchemy import text

from storage.database.database import ACCESS, Role, require_current
from storage.database.ledger_files import file_of, missing
from storage.database.migrate import migrate
from storage.database.sqlite import MIGRATING, SqliteDatabase
from storage.database.tables import SCHEMA_VERSION
from storage.errors import (
    LedgerDamaged,
    LedgerMissing,
    LedgerUnavailable,
    StorageError,
    os_errors_as,
)
from storage.home.atomic_write import flush_folder
from storage.home.paths import FILE_MODE
from storage.home.safe_open import lock_folder

logger = logging.getLogger(__name__)

_TRIES, _TRY_SECONDS = 200, 0.05  # while another one makes the ledger
_BEFORE_PIECES = "0007"  # the migration after it commits pieces


def open_file(url: str, role: Role) -> SqliteDatabase:
    """See `engine.open_database`."""
    path, access = file_of(url), ACCESS[role]
    if access.prepares:
        _prepare(path, role)
    require_current(_version_of(path), str(path))
    database = SqliteDatabase(path, access)
    if access.inspects_seconds:
        database.require_valid(access.inspects_seconds)
    return database


def upgrade(url: str, tell: Callable[[str], None] = logger.info) -> Path | None:
    """Bring a ledger to this version; returns the backup, None if it was current.

    Raises as `engine.open_database`.
    """
    path = file_of(url)
    if not path.exists():
        raise missing(path)
    return _prepare(path, tell=tell)


def is_outdated(url: str) -> bool:
    """See `engine.is_outdated`."""
    path = file_of(url)
    return path.exists() and _version_of(path) < SCHEMA_VERSION


def _version_of(path: Path) -> str:
    """Asked as a reader: opening for writing already changes a file, and it may not be ours."""
    with SqliteDatabase(path, ACCESS["reader"]) as database:
        return database.version()


def _prepare(
    path: Path, role: Role = "daemon", tell: Callable[[str], None] = logger.info
) -> Path | None:
    """Make or upgrade it; returns the backup of an upgraded ledger.

    Who asks as the daemon, or has a ledger upgraded, holds the daemon's lock.
    """
    what = f"cannot open the ledger's folder {path.parent}"
    with os_errors_as(LedgerMissing, what, "`clfd init` makes a home"):
        os.scandir(path.parent).close()
    if not path.exists():
        _create(path) if role == "daemon" else _create_alone(path)
        return None
    version = _version_of(path)
    if version >= SCHEMA_VERSION:
        return None
    tell(f"upgrading the ledger from schema {version} to {SCHEMA_VERSION}, after a backup")
    unfinished = _kept_backup(path) or _back_up(path, version)
    backup = unfinished.with_suffix("")
    try:
        _migrate(path, tell)
    except LedgerUnavailable:  # a full disk: another try must not fill it with backups
        if not _kept_backup(path):
            unfinished.unlink()
        raise
    finally:  # after a kill it has its first name, and the next try keeps it or makes another one
        if unfinished.exists() and not _kept_backup(path):
            unfinished.rename(backup)
    return backup


def _kept_backup(path: Path) -> Path | None:
    """That of an upgrade which ended when some of its pieces were committed, but not the last."""
    with SqliteDatabase(path, ACCESS["reader"]) as database, database.transaction() as connection:
        begun = connection.scalar(text("SELECT 1 FROM sqlite_master WHERE name = 'finding'"))
        ended = "SELECT 1 FROM pragma_table_info('checkpoint') WHERE name = 'one_label'"
        if not begun or connection.scalar(text(ended)):
            return None
    return next(path.parent.glob(f"{escape(path.name)}.schema-*.backup.new"), None)


def _create_alone(path: Path) -> None:
    """One process at a time, also beside a daemon that makes it: that holds the folder's lock."""
    tries = 0
    while not path.exists():
        try:
            lock = lock_folder(path.parent, wait=False)
        except BlockingIOError as error:
            if (tries := tries + 1) > _TRIES:
                raise LedgerUnavailable(
                    f"no ledger can be made in {path.parent} while a daemon or another program"
                    " locks this folder; end it, or try again"
                ) from error
            time.sleep(_TRY_SECONDS)
            continue
        try:
            if not path.exists():
                _create(path)
        finally:
            os.close(lock)


def _create(path: Path) -> None:
    """Made aside and renamed: whoever sees the file sees a whole ledger."""
    aside = path.with_name(f"{path.name}.new")
    for leftover in (aside, *(aside.with_name(aside.name + end) for end in ("-wal", "-shm"))):
        leftover.unlink(missing_ok=True)
    with os_errors_as(StorageError, f"cannot make the ledger {path}"):
        handle = os.open(aside, os.O_CREAT | os.O_EXCL | os.O_RDWR, FILE_MODE)
        os.fchmod(handle, FILE_MODE)  # SQLite gives its side files the mode of this one
        os.close(handle)
    _migrate(aside, tell=lambda step: None)
    aside.rename(path)
    flush_folder(path.parent)


def _back_up(path: Path, version: str) -> Path:
    for unfinished in path.parent.glob(f"{escape(path.name)}.schema-*.backup.new*"):
        unfinished.unlink()  # of a process that was killed
    taken = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    backup = path.with_name(f"{path.name}.schema-{version}-{taken}.backup.new")
    with SqliteDatabase(path, ACCESS["editor"]) as database:
        database.back_up(backup)
    return backup


def _migrate(path: Path, tell: Callable[[str], None]) -> None:
    """Run the missing migrations, up to `_BEFORE_PIECES` and then all, in a transaction each.

    Either runs as a whole or not at all; but that which commits pieces begins with what no older
    version reads, and one that was killed begins again.
    """
    for revision in (_BEFORE_PIECES, "head"):
        with SqliteDatabase(path, MIGRATING) as database, database.transaction() as connection:
            is_migrated = migrate(connection, revision, tell)
            if is_migrated and connection.execute(text("PRAGMA foreign_key_check")).first():
                raise LedgerDamaged(f"upgrading {path} would lose rows, so nothing was changed")
