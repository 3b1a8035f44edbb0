"""The first ledger.

A migration never changes once it is published, so it repeats the tables of its day.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_QUEUED = sa.text("state = 'pending' OR requeued IS NOT NULL")


def upgrade() -> None:
    _create_inbox()
    _create_checkpoint()
    _create_recording()
    _create_prediction()
    _create_indexes()


def _create_inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("path", sa.LargeBinary, nullable=False),
        sa.Column("path_text", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_inbox"),
        sa.UniqueConstraint("path", name="uq_inbox_path"),
        sqlite_strict=True,
    )


def _create_checkpoint() -> None:
    op.create_table(
        "checkpoint",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("clip_seconds", sa.REAL),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("seen_at", sa.Text, nullable=False),
        sa.CheckConstraint(
            "verdict IN ('accepted', 'refused')", name=op.f("ck_checkpoint_verdict")
        ),
        sa.PrimaryKeyConstraint("id", name="pk_checkpoint"),
        sa.UniqueConstraint("digest", name="uq_checkpoint_digest"),
        sqlite_strict=True,
    )


def _create_recording() -> None:
    op.create_table(
        "recording",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("inbox_id", sa.Integer, nullable=False),
        sa.Column("path", sa.LargeBinary, nullable=False),
        sa.Column("path_text", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.Integer, nullable=False),
        sa.Column("digest", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("claimed_by", sa.Text),
        sa.Column("claimed_at", sa.Text),
        sa.Column("requeued", sa.Text),
        sa.Column("requeued_at", sa.Text),
        sa.Column("error_class", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("warning", sa.Text),
        sa.Column("duration_s", sa.REAL),
        sa.Column("sample_rate_hz", sa.Integer),
        sa.Column("channels", sa.Integer),
        sa.Column("prediction_id", sa.Integer),
        sa.Column("first_seen_at", sa.Text, nullable=False),
        sa.Column("answered_at", sa.Text),
        *_recording_constraints(),
        sqlite_strict=True,
        sqlite_autoincrement=True,
    )


def _recording_constraints() -> list[sa.Constraint]:
    return [
        sa.CheckConstraint(
            "state IN ('pending', 'done', 'failed', 'superseded')",
            name=op.f("ck_recording_state"),
        ),
        sa.CheckConstraint("requeued IN ('retry', 'rescore')", name=op.f("ck_recording_requeued")),
        sa.CheckConstraint(
            "state <> 'done' OR (prediction_id IS NOT NULL AND digest IS NOT NULL)",
            name=op.f("ck_recording_done"),
        ),
        sa.CheckConstraint(
            "state <> 'failed' OR error IS NOT NULL", name=op.f("ck_recording_failed")
        ),
        sa.ForeignKeyConstraint(["inbox_id"], ["inbox.id"], name="fk_recording_inbox_id"),
        sa.ForeignKeyConstraint(
            ["prediction_id"], ["prediction.id"], name="fk_recording_prediction_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_recording"),
        sa.UniqueConstraint("inbox_id", "path", "digest", name="uq_recording_inbox_id_path_digest"),
    ]


def _create_prediction() -> None:
    op.create_table(
        "prediction",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("recording_id", sa.Integer, nullable=False),
        sa.Column("checkpoint_id", sa.Integer, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("confidence", sa.REAL, nullable=False),
        sa.Column("scores", sa.LargeBinary, nullable=False),
        sa.Column("clip_scores", sa.LargeBinary, nullable=False),
        sa.Column("clip_seconds", sa.REAL, nullable=False),
        sa.Column("clip_hop_seconds", sa.REAL, nullable=False),
        sa.Column("classified_at", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(
            ["recording_id"],
            ["recording.id"],
            name="fk_prediction_recording_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["checkpoint_id"], ["checkpoint.id"], name="fk_prediction_checkpoint_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_prediction"),
        sa.UniqueConstraint(
            "recording_id", "checkpoint_id", name="uq_prediction_recording_id_checkpoint_id"
        ),
        sqlite_strict=True,
    )


def _create_indexes() -> None:
    path = ["inbox_id", "path"]
    _partial("uq_recording_provisional", path, sa.text("digest IS NULL"), unique=True)
    _partial("uq_recording_current", path, sa.text("state IN ('done', 'failed')"), unique=True)
    _partial("ix_recording_queue", ["requeued", "id"], _QUEUED)
    op.create_index("ix_recording_state_answered_at", "recording", ["state", "answered_at"])
    moment = sa.text("coalesce(answered_at, first_seen_at)")
    op.create_index("ix_recording_moment", "recording", [moment])
    op.create_index("ix_recording_digest", "recording", ["digest"])
    op.create_index("ix_recording_prediction_id", "recording", ["prediction_id"])
    op.create_index("ix_prediction_label", "prediction", ["label"])
    op.create_index("ix_prediction_checkpoint_id", "prediction", ["checkpoint_id"])


def _partial(name: str, columns: list[str], where: sa.TextClause, unique: bool = False) -> None:
    op.create_index(
        name,
        "recording",
        columns,
        unique=unique,
        sqlite_where=where,
        postgresql_where=where,
    )
