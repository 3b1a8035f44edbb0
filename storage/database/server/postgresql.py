"""PostgreSQL: connections and transactions, copies, and what its errors mean."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import ServerCursor
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError, StatementError

from storage.database.database import Access, Database, require_current
from storage.errors import (
    WRITABLE_PLACE,
    AlreadyRunning,
    ConfigurationError,
    LedgerDamaged,
    LedgerMissing,
    LedgerUnavailable,
    RowRefused,
    StorageError,
    os_errors_as,
)
from storage.home.paths import FILE_MODE
from storage.home.safe_open import create_plain
from storage.values.text import listed

# The place of a ledger in a server's list of advisory locks: these bytes, and its schema.
LOCK_NAME = int.from_bytes(b"clfd", "big")
_LOCK = text("SELECT pg_advisory_xact_lock(:name, hashtext(current_schema()))")
_CONNECT_SECONDS = 5
# A daemon looks rows up by their keys, in the order in which its statements join tables. A server
# would guess from figures that are a minute old, when a new ledger has grown a hundredfold.
_BY_KEYS = (
    *("join_collapse_limit=1", "enable_hashjoin=off"),
    *("enable_mergejoin=off", "enable_seqscan=off", "enable_bitmapscan=off"),
    *("enable_sort=off", "jit=off"),
)
_FIGURES_AFTER = {2**n for n in range(4, 12)}  # transactions of a daemon
# Connection lost, no room, ended by the server, and idle for too long.
_AWAY = ("08", "53", "57P", "25P03")
# A writer that is frozen would keep all others out: its connection ends after this long.
_IDLE_SECONDS = {"daemon": 10, "other": 60}


class PostgresqlDatabase(Database):
    """An open ledger on a server.

    A writer's transaction begins with the ledger's advisory lock, so that nobody else writes until
    it ends, as in a file. A reader sees the ledger as it was when its transaction began.
    """

    file = None

    def __init__(self, url: URL, access: Access) -> None:
        self.place = url.render_as_string(hide_password=True)
        self._url = url
        self._access = access
        self._engine = _engine(url, access)
        self._n_transactions = 0

    @contextmanager
    def transaction(self, alone: bool = False) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                if alone or (self._access.writes and self._access.locks_at_once):
                    connection.execute(_LOCK, {"name": LOCK_NAME})
                yield connection
            self._gather_figures()
        except (StatementError, UnicodeError, OverflowError) as error:
            raise _explained(error, self.place) from error

    def _gather_figures(self) -> None:
        """Of a ledger that grows: the server itself would do so a minute later."""
        self._n_transactions += 1
        if self._access.checkpoints and self._n_transactions in _FIGURES_AFTER:
            with self._engine.begin() as connection:
                connection.exec_driver_sql("ANALYZE recording")

    def version(self) -> str:
        """Empty where there is no ledger in the database yet."""
        with self.transaction() as connection:
            if not is_made(connection):
                return ""
            return str(connection.scalar(text("SELECT version_num FROM alembic_version")))

    def problems(self) -> list[str]:
        """Recordings without the answer that they name; the server looks after its own pages."""
        orphans = text(
            "SELECT id FROM recording r WHERE prediction_id IS NOT NULL AND NOT EXISTS"
            " (SELECT FROM prediction p WHERE p.id = r.prediction_id) ORDER BY id LIMIT 100"
        )
        with self.transaction() as connection:
            return [f"recording row {id} has no prediction" for id in connection.scalars(orphans)]

    def require_valid(self, seconds: float) -> None:
        """The server looks after its own pages."""

    def shorten_log(self, alone: bool = True) -> str | None:
        return None

    def back_up(self, target: Path, check: bool = False) -> None:
        aside = target.with_name(f"{target.name}.new")
        with os_errors_as(LedgerUnavailable, f"cannot write {target}", WRITABLE_PLACE):
            os.close(create_plain(aside))
        try:
            self._run(
                "pg_dump", "--format=custom", f"--schema={self._pattern()}", f"--file={aside}"
            )
            if check:
                self._run("pg_restore", "--list", str(aside), connect=False)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        aside.chmod(FILE_MODE)
        aside.rename(target)

    def _pattern(self) -> str:
        """Of the ledger's own schema alone: other ledgers of the database are not in its copy."""
        with self.transaction() as connection:
            schema = str(connection.scalar(text("SELECT current_schema()")))
        return '"' + schema.replace('"', '""') + '"'

    def _run(self, program: str, *arguments: str, connect: bool = True) -> None:
        """Run a program of the server's own; a password is not seen among its arguments."""
        url = self._url.set(drivername="postgresql")._replace(password=None)
        place = [url.render_as_string()] if connect else []
        password = {"PGPASSWORD": str(self._url.password)} if self._url.password else {}
        _run([program, *arguments, *place], os.environ | password)

    def require_in_place(self) -> None:
        """A server's ledger does not move."""

    def require_alone(self) -> None:
        with self.transaction() as connection:
            refuse_live_daemons(connection, self.place)

    def require_schema(self) -> None:
        require_current(self.version(), self.place)

    def close(self) -> None:
        self._engine.dispose()


def refuse_live_daemons(connection: Connection, place: str) -> None:
    """By their leases; who takes one waits for a writer's transaction. Raises AlreadyRunning."""
    live = text(
        "SELECT host, home FROM lease WHERE lost_at IS NULL AND ended_at IS NULL"
        " AND lease_until > extract(epoch FROM clock_timestamp()) ORDER BY id"
    )
    found = [f"{host}:{home}" for host, home in connection.execute(live)]
    if found:
        raise AlreadyRunning(
            f"{listed(found, 3)} {'works' if len(found) == 1 else 'work'} with the ledger"
            f" {place}; stop all daemons, wait for the leases of those that were killed"
            " (`clfd status --fleet`), and try again"
        )


def is_made(connection: Connection) -> bool:
    """Whether the schema holds a ledger; not by `to_regclass`, which remembers what was not."""
    found = text(
        "SELECT 1 FROM pg_class WHERE relname = 'alembic_version'"
        " AND relnamespace = to_regnamespace(quote_ident(current_schema()))"
    )
    return connection.scalar(found) is not None


def _engine(url: URL, access: Access) -> Engine:
    idle = _IDLE_SECONDS["daemon" if access.checkpoints else "other"]
    asked = url.query.get("options", "")
    options = [str(asked), f"-c lock_timeout={access.timeout_seconds}s", "-c timezone=UTC"]
    if access.checkpoints:
        options += [f"-c {each}" for each in _BY_KEYS]
    if access.writes:
        options.append(f"-c idle_in_transaction_session_timeout={idle}s")
    engine = create_engine(
        url,
        pool_size=2,
        max_overflow=8,
        isolation_level="READ COMMITTED" if access.writes else "REPEATABLE READ",
        execution_options={} if access.writes else {"postgresql_readonly": True},
        connect_args={
            "connect_timeout": _CONNECT_SECONDS,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 8000,
            "application_name": "clfd",
            "options": " ".join(options),
        },
    )
    event.listen(engine, "connect", _configure)
    return engine


class _Sum(Loader):
    """Sums of whole numbers come as `numeric`."""

    def load(self, data: Buffer) -> int | float:
        number = bytes(data).decode()
        return int(number) if number.lstrip("-").isdecimal() else float(number)


class _Cursor(ServerCursor[Any]):
    def __del__(self, *_: object) -> None:
        """It warns of what the end of the transaction has closed."""


def _configure(raw: psycopg.Connection[Any], _: object) -> None:
    raw.adapters.register_loader("numeric", _Sum)
    raw.server_cursor_factory = _Cursor


def _run(command: list[str], environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment
        )
    except FileNotFoundError as error:
        raise LedgerUnavailable(
            f"there is no {command[0]}, which copies a ledger on a server; install PostgreSQL's"
            " client programs (Debian: postgresql-client)"
        ) from error
    if done.returncode:
        reason = done.stderr.strip().splitlines()
        raise LedgerUnavailable(f"{command[0]} failed: {reason[-1] if reason else done.returncode}")


# --- what went wrong


def _explained(error: Exception, place: str) -> StorageError:
    cause = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(cause, "sqlstate", None) or ""
    reason = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
    if state.startswith("XX"):
        return LedgerDamaged(f"the ledger {place} is damaged ({reason}); put a backup in its place")
    if state == "55P03":
        return LedgerUnavailable(
            f"the ledger {place} cannot be used now: another program is writing for long; try again"
        )
    is_away = isinstance(error, OperationalError) or state.startswith(_AWAY)
    if not is_away:
        return RowRefused(f"the ledger {place} refused a value: {reason}")
    told = str(cause)
    if "does not exist" in told and "database" in told:
        return LedgerMissing(f"there is no database {place}; make it with `createdb`")
    if "authentication failed" in told or "no password supplied" in told:
        return ConfigurationError(
            f"the server refuses the user of {place}; put the password into ~/.pgpass, or into the"
            " file that PGPASSFILE names"
        )
    return LedgerUnavailable(f"the ledger {place} cannot be used now: {reason}")
