"""When a postponed recording is tried again, where an archived one lies, an inbox's mount point."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Columns are added in place: no table is copied, so no child row is at risk."""
    op.add_column("inbox", sa.Column("mount_point", sa.LargeBinary))
    op.add_column("recording", sa.Column("retry_after", sa.Text))
    op.add_column("recording", sa.Column("archive_path", sa.LargeBinary))
    op.add_column("recording", sa.Column("archive_path_text", sa.Text))
    op.add_column("recording", sa.Column("archived_at", sa.Text))
    outstanding = "archive_path IS NOT NULL AND archived_at IS NULL"
    _partial("ix_recording_archiving", "id", sa.text(outstanding))
    _partial("ix_recording_archive_path", "archive_path", sa.text("archived_at IS NOT NULL"))


def _partial(name: str, column: str, where: sa.TextClause) -> None:
    op.create_index(name, "recording", [column], sqlite_where=where, postgresql_where=where)
