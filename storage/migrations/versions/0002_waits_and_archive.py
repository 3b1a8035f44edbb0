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
    op.create_index(
        "ix_recording_archiving",
        "recording",
        ["id"],
        sqlite_where=sa.text("archive_path IS NOT NULL AND archived_at IS NULL"),
        postgresql_where=sa.text("archive_path IS NOT NULL AND archived_at IS NULL"),
    )
