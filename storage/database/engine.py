"""SQLite: opening, transactions, schema versions, backups."""

from __future__ import annotations

import importlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from glob import escape
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Self
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.exc import ArgumentError, DBAPIError, StatementError

from storage.database.tables import SCHEMA_VERSION
from storage.errors import (
    ConfigurationError,
    LedgerDamaged,
    LedgerFailed,
    LedgerMissing,
    LedgerUnavailable,
    RowRefused,
    SchemaMismatch,
    StorageError,
    os_errors_as,
)
from storage.home.paths import FILE_MODE
from storage.home.safe_open import lock_folder

Role = Literal["daemon", "writer", "editor", "pruner", "reader"]

logger = logging.getLogger(__name__)

# Of recordings by inbox and path; SQLite names it after the table's first constraint.
PATH_INDEX = "sqlite_autoindex_recording_1"

_MIGRATIONS = Path(__file__).parent / "migrations"
_WAL_LIMIT_BYTES = 64 * 2**20
_WAL_PAGES = 4000  # of 4 KiB, before a commit moves them; rows of a large ledger lie far apart
_WAL_WORTH_BYTES = 32 * 2**20  # twice what commits leave behind by themselves
_LEAST_FREE_BYTES = 64 * 1024  # less does not even hold SQLite's side files
_PROGRESS_STEPS = 100_000  # of SQLite's machine, some milliseconds, between two looks at the clock


@dataclass(frozen=True)
class _Access:
    """What a process may do with the file, and how it goes about it."""

    writes: bool
    prepares: bool  # makes a missing ledger, upgrades an old one
    checkpoints: bool = False
    foreign_keys: bool = True
    locks_at_once: bool = True  # a writer's transaction; else its first statement that writes does
    cache_mib: int = 2
    timeout_seconds: int = 60  # with another process that holds the lock
    inspects_seconds: float = 0.0  # how long it may look for damage at the start


_ACCESS: dict[Role, _Access] = {
    # Only one process moves the WAL into the database: SQLite below 3.51.3 may corrupt it when a
    # second one does so at the same moment.
    # It comes back by itself, and shows a sign of life in between.
    "daemon": _Access(
        writes=True,
        prepares=True,
        checkpoints=True,
        timeout_seconds=5,
        inspects_seconds=5.0,
        cache_mib=64,  # the inner pages of the indexes of ten million recordings
    ),
    "writer": _Access(writes=True, prepares=True),
    "editor": _Access(writes=True, prepares=False),
    # Deletes answers, for each of which the keys would look through all recordings: no index leads
    # to those that share it, since every new answer would have to keep it. So it looks itself.
    # Its plan lies in temporary tables, which are written while others write to the ledger.
    "pruner": _Access(writes=True, prepares=False, foreign_keys=False, locks_at_once=False),
    "reader": _Access(writes=False, prepares=False, timeout_seconds=10),
}
# Moving a table would delete its children by cascade; the keys are checked before the commit.
_MIGRATING = _Access(writes=True, prepares=False, foreign_keys=False, cache_mib=256)


def driver() -> ModuleType:
    """The bundled SQLite where there is one (the system's may have the WAL-reset bug)."""
    try:
        return importlib.import_module("pysqlite3")
    except ImportError:
        return importlib.import_module("sqlite3")


def open_database(url: str, role: Role) -> Database:
    """Open the ledger's database; `daemon` and `writer` create or upgrade it first.

    `editor` writes to an existing ledger of this version, `pruner` as well but holds no foreign
    keys, `reader` never writes. Raises ConfigurationError, LedgerMissing, LedgerDamaged,
    SchemaMismatch or LedgerUnavailable.
    """
    path, access = file_of(url), _ACCESS[role]
    if access.prepares:
        _prepare(path)
    _require_current(_version_of(path), path)
    database = Database(path, access)
    if access.inspects_seconds:
        database.require_valid(access.inspects_seconds)
    return database


def upgrade(url: str, tell: Callable[[str], None] = logger.info) -> Path | None:
    """Bring a ledger to this version; returns the backup, None if it was current.

    Raises as `open_database`.
    """
    path = file_of(url)
    if not path.exists():
        raise _missing(path)
    return _prepare(path, tell)


def is_outdated(url: str) -> bool:
    """Whether there is a ledger, and one that would be upgraded. Raises as `open_database`."""
    path = file_of(url)
    return path.exists() and _version_of(path) < SCHEMA_VERSION


class Database:
    """An open ledger file. Threads may share it; each transaction has a connection of its own."""

    def __init__(self, path: Path, access: _Access) -> None:
        self.path = path
        self._access = access
        self._engine = _engine(path, access)
        self._identity = _identity(path)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction, begun at once for writers; rolled back if the body raises.

        Raises LedgerUnavailable (locked, full), LedgerDamaged, or RowRefused (a bad value).
        """
        self._require_in_place()
        try:
            with self._engine.begin() as connection:
                yield connection
        except (StatementError, UnicodeError, OverflowError) as error:
            raise _explained(error, self.path) from error

    def version(self) -> str:
        """The schema version. Raises LedgerDamaged when the file is no ledger."""
        try:
            with self.transaction() as connection:
                found = connection.scalar(text("SELECT version_num FROM alembic_version"))
        except RowRefused as error:
            raise _no_ledger(self.path) from error
        if not found:
            raise _no_ledger(self.path)
        return str(found)

    def problems(self) -> list[str]:
        """What SQLite's own check and the foreign keys have to complain about; empty: valid."""
        with self.transaction() as connection:
            check = connection.execute(text("PRAGMA quick_check")).scalars().all()
            orphans = connection.execute(text("PRAGMA foreign_key_check")).all()
        broken = [_one_line(str(found)) for found in check if found != "ok"]
        return broken + [f"{row[0]} row {row[1]} has no {row[2]}" for row in orphans]

    def require_valid(self, seconds: float) -> None:
        """Look for damage, for so long: of a large ledger in a part. Raises LedgerDamaged."""
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
            raise _damaged(self.path, _one_line(found))

    def truncate_wal(self) -> str | None:
        """Move a grown log into the database; returns what is wrong when it cannot be emptied.

        A program that keeps an old view open holds the log; it grows until that ends.
        """
        log = self.path.with_name(f"{self.path.name}-wal")
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
        """Write a whole copy, aside and renamed; readers and writers go on meanwhile.

        With `check` it gets its name only if it is sound; raises LedgerUnavailable otherwise.
        """
        aside = target.with_name(f"{target.name}.new")
        aside.unlink(missing_ok=True)
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

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _require_in_place(self) -> None:
        # SQLite goes on committing into a file that was renamed or deleted, that is, into the void.
        if not self._access.writes:
            return
        with suppress(LedgerMissing):
            if _identity(self.path) == self._identity:
                return
        raise StorageError(
            f"the ledger {self.path} was moved, deleted or replaced while clfd had it open;"
            " put it back or start clfd again"
        )


def _require_valid_copy(aside: Path, target: Path) -> None:
    try:
        with Database(aside, _ACCESS["reader"]) as copy:
            copy.require_valid(float("inf"))
    except StorageError as error:
        aside.unlink(missing_ok=True)
        raise LedgerUnavailable(
            f"the copy for {target} is not sound, so it was not kept ({error}); check the disk"
        ) from error


def file_of(url: str) -> Path:
    """The ledger's file. Raises ConfigurationError for a URL of another kind of database."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(f"database = {url!r} is no SQLAlchemy URL") from error
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        raise ConfigurationError(
            f"database = {parsed.render_as_string()!r}: this version keeps its ledger in an SQLite"
            " file only; write sqlite:////folder/clfd.db"
        )
    return Path(str(parsed.database))


def _identity(path: Path) -> tuple[int, int]:
    with os_errors_as(LedgerUnavailable, f"cannot reach the ledger {path}"):
        try:
            found = path.stat()
        except FileNotFoundError as error:
            raise _missing(path) from error
    return found.st_dev, found.st_ino


# --- connections


def _engine(path: Path, access: _Access) -> Engine:
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
    begin = "BEGIN IMMEDIATE" if access.writes and access.locks_at_once else "BEGIN"
    event.listen(engine, "connect", lambda raw, _: _configure(raw, access))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


class _HintingCompiler(SQLiteCompiler):
    """SQLAlchemy writes the hints of other databases into a statement, but not SQLite's."""

    def get_from_hint_text(self, table: object, text: str | None) -> str | None:
        return text


def _configure(raw: Any, access: _Access) -> None:
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


# --- what went wrong


def _explained(error: Exception, path: Path) -> StorageError:
    cause = error.orig if isinstance(error, DBAPIError) else error
    reason = str(cause)
    if "malformed" in reason or "not a database" in reason:
        return _damaged(path, reason)
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


def _damaged(path: Path, reason: str) -> LedgerDamaged:
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


def _missing(path: Path) -> LedgerMissing:
    return LedgerMissing(f"there is no ledger at {path}; `clfd init` makes one")


def _no_ledger(path: Path) -> LedgerDamaged:
    return LedgerDamaged(
        f"{path} is no clfd ledger; put a backup in its place, or move it away and run `clfd init`"
    )


def _version_of(path: Path) -> str:
    """Asked as a reader: opening for writing already changes a file, and it may not be ours."""
    with Database(path, _ACCESS["reader"]) as database:
        return database.version()


def _require_current(version: str, path: Path) -> None:
    if version > SCHEMA_VERSION:
        raise SchemaMismatch(
            f"the ledger {path} was written by a newer clfd (schema {version}, this one knows"
            f" {SCHEMA_VERSION}); update clfd"
        )
    if version < SCHEMA_VERSION:
        raise SchemaMismatch(
            f"the ledger {path} has the older schema {version}, not {SCHEMA_VERSION};"
            " stop the daemon and run `clfd db upgrade`"
        )


# --- making and upgrading


def _prepare(path: Path, tell: Callable[[str], None] = logger.info) -> Path | None:
    """Create or upgrade; one process at a time. Returns the backup of an upgraded ledger."""
    with _alone(path.parent):
        if not path.exists():
            _create(path)
            return None
        version = _version_of(path)
        if version >= SCHEMA_VERSION:
            return None
        tell(f"upgrading the ledger from schema {version} to {SCHEMA_VERSION}, after a backup")
        backup = _back_up(path, version)
        try:
            _migrate(path, tell)
        except LedgerUnavailable:  # a full disk: another try must not fill it with backups
            backup.unlink()
            raise
        return backup


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    what = f"cannot open the ledger's folder {folder}"
    with os_errors_as(LedgerMissing, what, "`clfd init` makes a home"):
        lock = lock_folder(folder)
    try:
        yield
        os.fsync(lock)  # the names made in it
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


def _back_up(path: Path, version: str) -> Path:
    for unfinished in path.parent.glob(f"{escape(path.name)}.schema-*.backup.new*"):
        unfinished.unlink()  # of a process that was killed
    taken = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    backup = path.with_name(f"{path.name}.schema-{version}-{taken}.backup")
    with Database(path, _ACCESS["editor"]) as database:
        database.back_up(backup)
    return backup


def _migrate(path: Path, tell: Callable[[str], None]) -> None:
    """Run the missing migrations in one transaction: all of them, or none."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["tell"] = tell
    with Database(path, _MIGRATING) as database, database.transaction() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        if connection.execute(text("PRAGMA foreign_key_check")).first():
            raise LedgerDamaged(f"upgrading {path} would lose rows, so nothing was changed")
