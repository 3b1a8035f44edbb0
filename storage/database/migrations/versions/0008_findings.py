"""Which labels an answer may tell, and an index by label over those of current answers.

Long recordings are answered anew by what was found in their clips. Ledgers of this age know single
tasks only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import numpy as np
import sqlalchemy as sa
from alembic import context, op

revision = "0008"
down_revision = "0007"

_AT_A_TIME = 20_000
_LONG_CLIPS = 3
_NEGATIVE = ("none", "background", "noise", "silence")
_READ = sa.text(
    "SELECT id, checkpoint_id, label, confidence, clip_scores FROM prediction"
    " WHERE id > :after AND id <= :last ORDER BY checkpoint_id, length(clip_scores)"
)
_ADD = "INSERT INTO finding VALUES (?, ?, ?, ?, ?)"
_ENTER = sa.text(
    "INSERT INTO recording_label SELECT finding.label, answered_at, recording.id, probability,"
    " checkpoint_id FROM recording JOIN finding ON finding.prediction_id = recording.prediction_id"
    " WHERE recording.id > :after AND recording.id <= :last AND answered_at IS NOT NULL"
)
_COPY = sa.text(
    "UPDATE recording SET (label, confidence) = (SELECT label, confidence FROM prediction"
    " WHERE prediction.id = recording.prediction_id) WHERE id > :after AND id <= :last"
    " AND prediction_id IN (SELECT id FROM renewed)"
)
_RECOUNT = (
    "DELETE FROM tally",
    "INSERT INTO tally (state, day, label, checkpoint_id, n)"
    " SELECT state, substr(coalesce(answered_at, first_seen_at), 1, 10), coalesce(label, ''),"
    " coalesce(checkpoint_id, 0), count(*) FROM recording GROUP BY 1, 2, 3, 4",
)
Finding = tuple[int, str, float | None, int, int]


def upgrade() -> None:
    op.drop_index("ix_recording_label")  # its pages serve the new tables
    single, yes = sa.text("'single'"), sa.text("1")
    for column in (
        sa.Column("task", sa.Text, nullable=False, server_default=single),
        sa.Column("thresholds", sa.Text),
        sa.Column("one_label", sa.Integer, nullable=False, server_default=yes),
    ):
        op.add_column("checkpoint", column)
    _create_tables()
    connection = op.get_bind()
    connection.exec_driver_sql("CREATE TEMPORARY TABLE renewed (id INTEGER PRIMARY KEY)")
    labels = _labels(connection)
    for number in _find(connection, labels):
        one = {"number": number}
        connection.execute(sa.text("UPDATE checkpoint SET one_label = 0 WHERE id = :number"), one)
    has_renewed = connection.scalar(sa.text("SELECT 1 FROM renewed LIMIT 1"))
    for values in _pieces(connection, "recording", "recordings"):
        if has_renewed:
            connection.execute(_COPY, values)
        connection.execute(_ENTER, values)
    if has_renewed:
        for statement in _RECOUNT:
            connection.exec_driver_sql(statement)
    connection.exec_driver_sql("DROP TABLE renewed")


def _create_tables() -> None:
    op.create_table(
        "finding",
        sa.Column("prediction_id", sa.Integer, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("probability", sa.REAL),
        sa.Column("first_clip", sa.Integer, nullable=False),
        sa.Column("last_clip", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(
            ["prediction_id"],
            ["prediction.id"],
            name="fk_finding_prediction_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("prediction_id", "label", name="pk_finding"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "recording_label",
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("answered_at", sa.Text, nullable=False),
        sa.Column("recording_id", sa.Integer, nullable=False),
        sa.Column("probability", sa.REAL),
        sa.Column("checkpoint_id", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("label", "answered_at", "recording_id", name="pk_recording_label"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _pieces(connection: sa.Connection, table: str, what: str) -> Iterator[dict[str, int]]:
    newest = connection.scalar(sa.text(f"SELECT max(id) FROM {table}")) or 0
    for after in range(0, newest, _AT_A_TIME):
        yield {"after": after, "last": after + _AT_A_TIME}
        if after // _AT_A_TIME % 25 == 24 or after + _AT_A_TIME >= newest:
            done = min(after + _AT_A_TIME, newest)
            context.config.attributes["tell"](f"indexed {done:,} of {newest:,} {what} by label")


def _labels(connection: sa.Connection) -> dict[int, list[str]]:
    found = connection.execute(sa.text("SELECT id, labels FROM checkpoint"))
    return {number: json.loads(labels) for number, labels in found}


def _find(connection: sa.Connection, labels: dict[int, list[str]]) -> set[int]:
    """Returns the checkpoints whose answers may tell several labels, or a word for nothing."""
    several = {number for number, own in labels.items() if {*map(str.lower, own)} & {*_NEGATIVE}}
    for values in _pieces(connection, "prediction", "answers"):
        rows = connection.execute(_READ, values).all()
        findings: list[Finding] = []
        for (checkpoint, size), some in groupby(rows, key=lambda row: (row[1], len(row[4]))):
            of = [tuple(row) for row in some]
            before = len(findings)
            renewed = list(_of_equal_length(of, labels[checkpoint], size, findings))
            n_told = sum(one[2] is not None for one in findings[before:])
            if n_told > len(of):
                several.add(checkpoint)
            if renewed:
                update = "UPDATE prediction SET label = ?, confidence = ? WHERE id = ?"
                connection.exec_driver_sql(update, renewed)
                ids = [(row[2],) for row in renewed]
                connection.exec_driver_sql("INSERT INTO renewed VALUES (?)", ids)
        if findings:
            findings.sort(key=lambda one: one[:2])
            connection.exec_driver_sql(_ADD, findings)
    return several


def _of_equal_length(
    rows: list[Any], labels: list[str], size: int, findings: list[Finding]
) -> Iterator[tuple[str, float, int]]:
    """Adds the findings of these answers; yields label, confidence and id of those that change."""
    n_clips, rest = divmod(size, 2 * max(1, len(labels)))
    if n_clips <= 1 or rest:
        findings += [(row[0], row[2], row[3], 0, max(0, n_clips - 1)) for row in rows]
        return
    clips = np.frombuffer(b"".join(row[4] for row in rows), "<f2").astype(np.float32)
    clips = clips.reshape(len(rows), n_clips, len(labels))
    has = clips.argmax(axis=2)[:, :, None] == np.arange(len(labels))  # (N, C, L)
    peaks, first = np.where(has, clips, 0).max(axis=1), has.argmax(axis=1)
    last = n_clips - 1 - has[:, ::-1].argmax(axis=1)
    is_long = n_clips > _LONG_CLIPS
    for at, (number, _, label, confidence, _) in enumerate(rows):
        which = has[at].any(axis=0).nonzero()[0].tolist()
        found = {labels[one]: (float(peaks[at, one]), at, one) for one in which}
        if is_long:
            real = [one for one in found if one.lower() not in _NEGATIVE] or list(found)
            surest = max(real, key=lambda one: found[one][0])
            if (surest, found[surest][0]) != (label, confidence):
                yield surest, found[surest][0], number
        elif label not in found:
            findings.append((number, label, confidence, 0, 0))
        for name, (peak, _, one) in found.items():
            told = peak if is_long else confidence if name == label else None
            findings.append((number, name, told, int(first[at, one]), int(last[at, one])))
