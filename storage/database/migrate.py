"""Migrations of the schema, by alembic, in the transaction of whoever upgrades."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection

_MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(connection: Connection, revision: str, tell: Callable[[str], None]) -> bool:
    """Run those that are missing up to this one, or `head`; whether there were any."""
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext

    if (MigrationContext.configure(connection).get_current_revision() or "") >= revision:
        return False
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes.update(tell=tell, connection=connection)
    command.upgrade(config, revision)
    return True
