"""What people said of sounds, one after the other, so that each can be undone. None so far."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    for name in ("author", "way"):
        op.add_column("human_label", sa.Column(name, sa.Text))
    op.create_index("ix_human_label_author", "human_label", ["author"])
    op.create_table(
        "label_mark",
        *_part(),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("way", sa.Text, nullable=False),
        sa.Column("marked_at", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint(
            "digest", "start_s", "end_s", "kind", "label", name="pk_label_mark"
        ),
        sa.CheckConstraint("kind IN ('not', 'unsure')", name=op.f("ck_label_mark_kind")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "label_event",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("act", sa.Text, nullable=False),
        *_part(),
        sa.Column("say", sa.Text, nullable=False),
        sa.Column("label", sa.Text),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("way", sa.Text, nullable=False),
        sa.Column("made_at", sa.Text, nullable=False),
        sa.Column("before", sa.Text, nullable=False),
        sa.Column("undoes", sa.Integer),
        sa.CheckConstraint(
            "say IN ('label', 'not', 'unsure', 'clear', 'undo')", name=op.f("ck_label_event_say")
        ),
        sa.UniqueConstraint("id", name=op.f("uq_label_event_id")),
        sqlite_strict=True,
        sqlite_autoincrement=True,
    )
    op.create_index("ix_label_event_digest", "label_event", ["digest", "start_s", "end_s"])


def _part() -> tuple[sa.Column[str], sa.Column[float], sa.Column[float]]:
    return (
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("start_s", sa.REAL, nullable=False),
        sa.Column("end_s", sa.REAL, nullable=False),
    )
