"""The current answer copied to its recording, indexes over both, and tallies of what is counted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0003"
down_revision = "0002"

_AT_A_TIME = 1_000_000
_COPY = sa.text(
    "UPDATE recording SET (label, confidence, checkpoint_id) ="
    " (SELECT label, confidence, checkpoint_id FROM prediction"
    " WHERE prediction.id = recording.prediction_id)"
    " WHERE prediction_id IS NOT NULL AND id > :after AND id <= :last"
)
_SOME = " FROM recording WHERE id > :after AND id <= :last"
_COUNT = sa.text(
    "INSERT INTO tally (state, day, label, checkpoint_id, n)"
    " SELECT state, substr(coalesce(answered_at, first_seen_at), 1, 10), coalesce(label, ''),"
    f" coalesce(checkpoint_id, 0), count(*) {_SOME} GROUP BY 1, 2, 3, 4"
    " ON CONFLICT (state, day, label, checkpoint_id) DO UPDATE SET n = tally.n + excluded.n"
)
# The folder is what is left without the characters of the name: all to the last slash.
_COUNT_FOLDERS = sa.text(
    "INSERT INTO folder_tally (inbox_id, folder, state, n) SELECT inbox_id, coalesce(nullif("
    "rtrim(rtrim(path_text, replace(path_text, '/', '')), '/'), ''), '.'), state, count(*)"
    f" {_SOME} GROUP BY 1, 2, 3"
    " ON CONFLICT (inbox_id, folder, state) DO UPDATE SET n = folder_tally.n + excluded.n"
)


def upgrade() -> None:
    """Columns are added in place: no table is copied, so no child row is at risk."""
    op.drop_index("ix_recording_state_answered_at")
    op.drop_index("ix_recording_prediction_id")
    op.drop_index("ix_prediction_label")
    op.drop_index("ix_prediction_checkpoint_id")
    op.add_column("recording", sa.Column("label", sa.Text))
    op.add_column("recording", sa.Column("confidence", sa.REAL))
    op.add_column("recording", sa.Column("checkpoint_id", sa.Integer))
    _create_tallies()
    _copy_answers()
    _tell("making indexes")
    answer = ["confidence", "checkpoint_id"]
    moments = ["state", "answered_at", "label"]
    op.create_index("ix_recording_answer", "recording", [*moments, *answer])
    labels = ["label", "state", "answered_at"]
    op.create_index("ix_recording_label", "recording", [*labels, *answer])
    op.create_index("ix_recording_confidence", "recording", ["confidence"])


def _copy_answers() -> None:
    """Piece by piece, so that the memory for sorting does not grow with the ledger."""
    connection = op.get_bind()
    newest = connection.scalar(sa.text("SELECT max(id) FROM recording")) or 0
    for after in range(0, newest, _AT_A_TIME):
        for statement in (_COPY, _COUNT, _COUNT_FOLDERS):
            connection.execute(statement, {"after": after, "last": after + _AT_A_TIME})
        _tell(f"copied and counted {min(after + _AT_A_TIME, newest):,} of {newest:,} answers")


def _create_tallies() -> None:
    op.create_table(
        "tally",
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("day", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("checkpoint_id", sa.Integer, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("state", "day", "label", "checkpoint_id", name="pk_tally"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "folder_tally",
        sa.Column("inbox_id", sa.Integer, nullable=False),
        sa.Column("folder", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("inbox_id", "folder", "state", name="pk_folder_tally"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _tell(step: str) -> None:
    context.config.attributes["tell"](step)
