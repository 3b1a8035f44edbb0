"""A ledger on a PostgreSQL server: made where it is missing, upgraded where it is old."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, insert, make_url, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateColumn

from storage.database.database import ACCESS, Role, require_current
from storage.database.indexes import metadata
from storage.database.migrate import migrate
from storage.database.server.postgresql import (
    PostgresqlDatabase,
    is_made,
    refuse_live_daemons,
)
from storage.database.tables import FOLDER_KEY, SCHEMA_VERSION, answer_counter
from storage.errors import ConfigurationError, LedgerMissing

# A path may be longer than an entry of an index: these hold its beginning, and a hash of it.
_PATH = "substr(path, 1, 1000)"
_INDEXES = (
    "CREATE UNIQUE INDEX uq_recording_version ON recording (sha256(path), inbox_id, digest)",
    "CREATE UNIQUE INDEX uq_recording_provisional ON recording (sha256(path), inbox_id)"
    " WHERE digest IS NULL",
    f"CREATE INDEX ix_recording_path_order ON recording (inbox_id, {_PATH})",
    "CREATE UNIQUE INDEX uq_recording_current ON recording (sha256(path), inbox_id)"
    " WHERE state IN ('done', 'failed')",
    "CREATE INDEX ix_recording_path ON recording USING hash (path)",
    "CREATE INDEX ix_recording_archive_path ON recording USING hash (archive_path)",
    "CREATE UNIQUE INDEX uq_inbox_place_path ON inbox (place, sha256(path))",
    f"CREATE UNIQUE INDEX uq_folder_tally ON folder_tally ({', '.join(FOLDER_KEY)})",
    "ALTER TABLE recording SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01)",
)
# What SQLite asks Python for: see `threshold_in`, `human_text` and `is_part_wrong`.
_FUNCTIONS = Path(__file__).with_name("postgresql_functions.sql")


@compiles(CreateColumn, "postgresql")
def _by_bytes(element: CreateColumn, compiler: Any, **kw: Any) -> str:
    """Texts are compared by their bytes, as in SQLite, whatever the server's language."""
    column: str = compiler.visit_create_column(element, **kw)
    return column.replace(" TEXT", ' TEXT COLLATE "C"')


def open_ledger_on(url: str, role: Role) -> PostgresqlDatabase:
    """See `engine.open_database`."""
    database = PostgresqlDatabase(_parsed(url), ACCESS[role])
    try:
        if not (version := database.version()):
            if not ACCESS[role].prepares:
                raise LedgerMissing(f"there is no ledger in {database.place}; `clfd init` makes it")
            version = _make(database)
        require_current(version, database.place)
    except BaseException:
        database.close()
        raise
    return database


def upgrade(url: str, tell: Callable[[str], None], beside: Path) -> Path | None:
    """See `engine.upgrade`. As a whole or not at all, and while no daemon lives."""
    with PostgresqlDatabase(_parsed(url), ACCESS["editor"]) as database:
        version = database.version()
        if not version or version >= SCHEMA_VERSION:
            open_ledger_on(url, "editor").close()
            return None
        database.require_alone()
        taken = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        backup = beside.absolute().with_name(f"{beside.name}.schema-{version}-{taken}.backup")
        tell(f"upgrading the ledger from schema {version} to {SCHEMA_VERSION}, after a backup")
        database.back_up(backup)
        with database.transaction(alone=True) as connection:
            refuse_live_daemons(connection, database.place)  # that came during the backup
            migrate(connection, "head", tell)
        return backup


def _parsed(url: str) -> URL:
    if find_spec("psycopg") is None:
        raise ConfigurationError(
            "a ledger on PostgreSQL needs its driver: pip install 'clfd-daemon[postgresql]'"
        )
    return make_url(url)


def _make(database: PostgresqlDatabase) -> str:
    """All or nothing; of two that make it at once the second finds it made."""
    with database.transaction() as connection:
        if not is_made(connection):
            _make_schema(connection)
    return database.version()


def _make_schema(connection: Connection) -> None:
    metadata.create_all(connection)
    for command in (*_INDEXES, *_FUNCTIONS.read_text(encoding="utf-8").split("\n\n\n")):
        connection.exec_driver_sql(command)
    connection.execute(insert(answer_counter).values(id=1, newest=0))
    connection.exec_driver_sql("CREATE TABLE alembic_version (version_num text PRIMARY KEY)")
    stamp = text("INSERT INTO alembic_version VALUES (:version)")
    connection.execute(stamp, {"version": SCHEMA_VERSION})
