"""SQLite: connections and transactions, the log, copies, and what its errors mean."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.exc import DBAPIError, StatementError

from storage.database.database import ACCESS, Access, Database
from storage.database.ledger_files import LedgerFiles, log_of
from storage.errors import (
    WRITABLE_PLACE,
    LedgerDamaged,
    LedgerFailed,
    LedgerUnavailable,
    RowRefused,
    StorageError,
    os_errors_as,
)
from storage.home.paths import FILE_MODE
from storage.home.safe_open import create_plain
from storage.values.clip_scores import is_part_wrong
from storage.values.decision import human_text, threshold_in

SAFE_CHECKPOINTS = (3, 51, 3)  # from this SQLite on two processes may empty the log at once
_WAL_LIMIT_BYTES = 64 * 2**20
_WAL_PAGES = 4000  # of 4 KiB, before a commit moves them; rows of a large ledger lie far apart
_WAL_WORTH_BYTES = 32 * 2**20  # twice what commits leave behind by themselves
_LEAST_FREE_BYTES = 64 * 1024  # less does not even hold SQLite's side files
_PROGRESS_STEPS = 100_000  # of SQLite's machine, some milliseconds, between two looks at the clock


# Moving a table would delete its children by cascade; the keys are checked before the commit.
MIGRATING = Access(writes=True, prepares=False, foreign_keys=False, cache_mib=256)


def driver() -> ModuleType:
    """The bundled SQLite where there is one (the system's may have the WAL-reset bug)."""
    try:
        return importlib.import_module("pysqlite3")
    except ImportError:
        return importlib.import_module("sqlite3")


class SqliteDatabase(Database):
    """An open ledger file."""

    def __init__(self, path: Path, access: Access) -> None:
        self.place, self.file, self.path = str(path), path, path
        self._access = access
        self._files = LedgerFiles(path)
        self._engine = _engine(path, access, self._files)

    @contextmanager
    def transaction(self, alone: bool = False) -> Iterator[Connection]:
        self.require_in_place()
        try:
            with self._engine.execution_options(alone=alone).begin() as connection:
                yield connection
                self._files.note_log()
                self.require_in_place()  # else this commit goes where nobody finds it
        except (StatementError, UnicodeError, OverflowError) as error:
            raise _explained(error, self.path) from error

    def version(self) -> str:
        """The schema version. Raises LedgerDamaged when the file is no ledger."""
        try:
            with self.transaction() as connection:
                found = connection.scalar(text("SELECT version_num FROM alembic_version"))
        except RowRefused as error:
            raise no_ledger(self.path) from error
        if not found:
            raise no_ledger(self.path)
        return str(found)

    def problems(self) -> list[str]:
        with self.transaction() as connection:
            check = connection.execute(text("PRAGMA quick_check")).scalars().all()
            orphans = connection.execute(text("PRAGMA foreign_key_check")).all()
        broken = [_one_line(str(found)) for found in check if found != "ok"]
        return broken + [f"{row[0]} row {row[1]} has no {row[2]}" for row in orphans]

    def require_valid(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        with self._raw() as raw:
            raw.set_progress_handler(lambda: time.monotonic() > deadline, _PROGRESS_STEPS)
            try:
                found = str(raw.execute("PRAGMA quick_check(1)").fetchone()[0])
            except driver().OperationalError as error:
                if "interrupted" not in str(error):
                    raise
                found = "ok"
            finally:
                raw.set_progress_handler(None, 0)
        if found != "ok":
            raise damaged(self.path, _one_line(found))

    def shorten_log(self, alone: bool = True) -> str | None:
        """Move a grown log into the database; returns what is wrong when it cannot be emptied.

        A program that keeps an old view open holds the log; it grows until that ends.
        """
        if not alone and driver().sqlite_version_info < SAFE_CHECKPOINTS:
            return None
        log = log_of(self.path)
        if _size(log) < _WAL_WORTH_BYTES:
            return None
        with self._raw() as raw:
            raw.execute("PRAGMA busy_timeout = 0")  # whoever reads now is not waited for
            try:
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                raw.execute(f"PRAGMA busy_timeout = {1000 * self._access.timeout_seconds}")
        if (size := _size(log)) < _WAL_LIMIT_BYTES:
            return None
        return (
            f"the ledger's log {log.name} has grown to {size / 2**20:.0f} MiB, since another"
            " program keeps an old view of it open; end that program"
        )

    @contextmanager
    def _raw(self) -> Iterator[Any]:
        """The driver's own connection, outside any transaction."""
        pooled = self._engine.raw_connection()
        try:
            yield pooled.driver_connection
        except driver().DatabaseError as error:
            raise _explained(error, self.path) from error
        finally:
            pooled.close()

    def back_up(self, target: Path, check: bool = False) -> None:
        aside = target.with_name(f"{target.name}.new")
        with os_errors_as(LedgerUnavailable, f"cannot write {target}", WRITABLE_PLACE):
            os.close(create_plain(aside))  # says why where SQLite only says that it cannot
            with self._raw() as raw:
                try:
                    raw.execute("VACUUM INTO ?", (str(aside),))
                except driver().Error as error:
                    aside.unlink(missing_ok=True)  # a disk that it filled has room again
                    raise LedgerUnavailable(
                        f"cannot back up {self.path} to {target}: {error}"
                    ) from error
            aside.chmod(FILE_MODE)
            if check:
                _require_valid_copy(aside, target)
            aside.rename(target)

    def require_in_place(self) -> None:
        self._files.require_in_place()

    def require_alone(self) -> None:
        """The daemon of a file holds its lock."""

    def require_schema(self) -> None:
        """Who upgrades a file holds the lock of its daemon."""

    def close(self) -> None:
        self._engine.dispose()


def _require_valid_copy(aside: Path, target: Path) -> None:
    try:
        with SqliteDatabase(aside, ACCESS["reader"]) as copy:
            copy.require_valid(float("inf"))
    except StorageError as error:
        aside.unlink(missing_ok=True)
        raise LedgerUnavailable(
            f"the copy for {target} is not sound, so it was not kept ({error}); check the disk"
        ) from error


# --- connections


def _engine(path: Path, access: Access, files: LedgerFiles) -> Engine:
    module = driver()
    connect = partial(
        module.connect,
        f"file:{quote(str(path))}?mode=rw",  # opening never creates
        uri=True,
        timeout=access.timeout_seconds,
        isolation_level=None,
        check_same_thread=False,
    )
    engine = create_engine(f"sqlite:///{path}", module=module, creator=connect)
    engine.dialect.statement_compiler = _HintingCompiler
    # The driver would begin late and let a reader turn writer, which fails at once when another
    # process has written; so `begin` names the kind of transaction.
    event.listen(engine, "connect", lambda raw, _: _configure(raw, access, files))
    event.listen(engine, "begin", partial(_begin, access))
    return engine


class _HintingCompiler(SQLiteCompiler):
    """SQLAlchemy writes the hints of other databases into a statement, but not SQLite's."""

    def get_from_hint_text(self, table: object, text: str | None) -> str | None:
        return text


def _begin(access: Access, connection: Connection) -> None:
    locks = connection.get_execution_options().get("alone") or access.locks_at_once
    connection.exec_driver_sql("BEGIN IMMEDIATE" if access.writes and locks else "BEGIN")


def _configure(raw: Any, access: Access, files: LedgerFiles) -> None:
    cursor = raw.cursor()
    cursor.execute(f"PRAGMA foreign_keys = {int(access.foreign_keys)}")
    if cursor.execute("PRAGMA foreign_keys").fetchone() != (int(access.foreign_keys),):
        raise StorageError("this SQLite cannot enforce foreign keys; install pysqlite3")
    cursor.execute(f"PRAGMA cache_size = {-1024 * access.cache_mib}")
    if access.writes:
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
    else:
        cursor.execute("PRAGMA query_only = ON")
    pages = _WAL_PAGES if access.checkpoints else 0
    cursor.execute(f"PRAGMA wal_autocheckpoint = {pages}")
    cursor.close()
    raw.create_function("is_part_wrong", 8, is_part_wrong, deterministic=True)
    raw.create_function("threshold_in", 2, threshold_in, deterministic=True)
    raw.create_function("human_text", 1, lambda said: said and human_text(said), deterministic=True)
    if access.writes:  # so it has opened the log
        files.note_log()


# --- what went wrong


def _explained(error: Exception, path: Path) -> StorageError:
    cause = error.orig if isinstance(error, DBAPIError) else error
    reason = str(cause)
    if "malformed" in reason or "not a database" in reason:
        return damaged(path, reason)
    if not isinstance(cause, driver().OperationalError) or "no such" in reason:
        return RowRefused(f"the ledger {path} refused a value: {reason}")
    remedy = _shortage(path.parent) or _remedy(reason)
    if "disk I/O" in reason and not remedy:
        # What a failed flush left on the disk is unknown; a new start reads what is there.
        code = getattr(cause, "sqlite_errorname", "no code")
        return LedgerFailed(
            f"the disk under the ledger {path} gave an error ({reason}, {code}); clfd stops, and"
            " begins again with what was written; check the disk"
        )
    cause_and_remedy = "; ".join(filter(None, (reason, remedy)))
    return LedgerUnavailable(f"the ledger {path} cannot be used now: {cause_and_remedy}")


def _remedy(reason: str) -> str | None:
    if "locked" in reason:
        return "another program is writing for long; try again"
    is_forbidden = "readonly" in reason or "unable to open" in reason
    return "join the group that owns the home" if is_forbidden else None


def _shortage(folder: Path) -> str | None:
    """What the file system lacks; SQLite often has no better word for it than an I/O error."""
    try:
        found = os.statvfs(folder)
    except OSError as error:
        return f"its folder {folder} is out of reach ({error.strerror})"
    if found.f_flag & os.ST_RDONLY:
        return "its file system is mounted read-only; mount it for writing"
    if found.f_bavail * found.f_frsize < _LEAST_FREE_BYTES:
        return "make room on its disk"
    if found.f_files and not found.f_favail:
        return "its disk has no room for further files (inodes); remove some"
    return None


def damaged(path: Path, reason: str) -> LedgerDamaged:
    return LedgerDamaged(
        f"the ledger {path} is damaged ({reason}); put a backup in its place, or move it away"
        " and run `clfd init`"
    )


def _one_line(found: str) -> str:
    """Of what SQLite found, which has a headline."""
    return " ".join(found.split())


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def no_ledger(path: Path) -> LedgerDamaged:
    return LedgerDamaged(
        f"{path} is no clfd ledger; put a backup in its place, or move it away and run `clfd init`"
    )
