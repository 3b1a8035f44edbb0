"""Alembic's entry: the connection, inside its transaction, comes from `storage.database.engine`."""

from alembic import context

from storage.database.indexes import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
