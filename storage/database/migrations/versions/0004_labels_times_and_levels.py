"""What people say that sounds are; when recordings began, and how loud they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.values.timestamps import moment_in_name

revision = "0004"
down_revision = "0003"

_AT_A_TIME = 100_000
_PATHS = sa.text("SELECT id, path_text FROM recording WHERE id > :after AND id <= :last")
_SET = sa.text("UPDATE recording SET recorded_at = :moment WHERE id = :id")


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
    op.add_column("recording", sa.Column("recorded_at", sa.Text))
    for name in ("rms_dbfs", "peak_dbfs", "clipped"):
        op.add_column("recording", sa.Column(name, sa.REAL))
    _read_names()
    op.create_index(
        "ix_recording_recorded",
        "recording",
        ["recorded_at"],
        sqlite_where=sa.text("recorded_at IS NOT NULL"),
        postgresql_where=sa.text("recorded_at IS NOT NULL"),
    )


def _read_names() -> None:
    """Of recordings that are there, when their names say that they began."""
    connection = op.get_bind()
    newest = connection.scalar(sa.text("SELECT max(id) FROM recording")) or 0
    for after in range(0, newest, _AT_A_TIME):
        found = connection.execute(_PATHS, {"after": after, "last": after + _AT_A_TIME}).all()
        named = [
            {"id": number, "moment": moment}
            for number, path in found
            if (moment := moment_in_name(path)) is not None
        ]
        if named:
            connection.execute(_SET, named)
