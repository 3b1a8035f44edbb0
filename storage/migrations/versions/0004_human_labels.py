"""What people say that sounds are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "human_label",
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("start_s", sa.REAL, nullable=False),
        sa.Column("end_s", sa.REAL, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("group_name", sa.Text),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("labelled_at", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("digest", "start_s", "end_s", name="pk_human_label"),
        sa.CheckConstraint("label <> ''", name=op.f("ck_human_label_label")),
        sa.CheckConstraint(
            "start_s >= 0 AND (end_s > start_s OR end_s = 0)", name=op.f("ck_human_label_part")
        ),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
