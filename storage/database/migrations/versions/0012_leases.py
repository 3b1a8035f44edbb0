"""Leases of daemons, where an inbox is, and who answered. A ledger so far has one daemon."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "lease",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("machine", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("home", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("started_at", sa.Text, nullable=False),
        sa.Column("seconds", sa.REAL),
        sa.Column("lease_until", sa.REAL),
        sa.Column("lost_at", sa.Text),
        sa.Column("ended_at", sa.Text),
        sa.Column("checkpoint_digest", sa.Text),
        sa.Column("status", sa.Text, nullable=False, server_default="{}"),
        sqlite_strict=True,
        sqlite_autoincrement=True,
    )
    op.add_column("recording", sa.Column("answered_by", sa.Integer))
    # SQLite drops no constraint, so the inboxes, few as they are, are put into a new table.
    op.execute("CREATE TEMPORARY TABLE kept AS SELECT id, path, path_text, mount_point FROM inbox")
    op.drop_table("inbox")
    op.create_table(
        "inbox",
        sa.Column("id", sa.Integer),
        sa.Column("path", sa.LargeBinary, nullable=False),
        sa.Column("path_text", sa.Text, nullable=False),
        sa.Column("mount_point", sa.LargeBinary),
        sa.Column("place", sa.Text, nullable=False, server_default=""),
        sa.Column("scanned_by", sa.Integer),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox")),
        sa.UniqueConstraint("place", "path", name=op.f("uq_inbox_place_path")),
        sqlite_strict=True,
    )
    op.execute(
        "INSERT INTO inbox (id, path, path_text, mount_point)"
        " SELECT id, path, path_text, mount_point FROM kept"
    )
    op.drop_table("kept")
