"""Alembic's entry: the connection, inside its transaction, comes from `storage.database`."""

from alembic import context

from storage.indexes import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
