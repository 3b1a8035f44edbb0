"""A number for each answer from now on, so that readers need no clock to know which are new."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Answers that are there get none: no row is written, and the index begins empty."""
    op.add_column("recording", sa.Column("answer_number", sa.Integer))
    op.create_index(
        "ix_recording_answer_number",
        "recording",
        ["answer_number"],
        sqlite_where=sa.text("answer_number IS NOT NULL"),
        postgresql_where=sa.text("answer_number IS NOT NULL"),
    )
    counter = op.create_table(
        "answer_counter",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("newest", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_answer_counter"),
        sa.CheckConstraint("id = 1", name=op.f("ck_answer_counter_single")),
        sqlite_strict=True,
    )
    op.execute(sa.insert(counter).values(id=1, newest=0))
