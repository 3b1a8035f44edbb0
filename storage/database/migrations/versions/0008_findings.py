"""Which labels an answer may tell, and an index by label over those of current answers.

Long recordings are answered anew by what was found in their clips. Ledgers of this age know single
tasks only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby, islice
from typing import Any

import numpy as np
import sqlalchemy as sa
from alembic import context, op

revision = "0008"
down_revision = "0007"

_PIECE_ROWS, _PIECE_BYTES = 20_000, 16 * 2**20  # the bytes are those of the scores
_TOLD_EACH = 500_000
_LONG_CLIPS = 3
_NEGATIVE = ("none", "background", "noise", "silence")
_READ = sa.text(
    "SELECT id, checkpoint_id, label, confidence, clip_scores FROM prediction"
    " WHERE id > :after ORDER BY id"
)
_ADD = "INSERT INTO finding VALUES (?, ?, ?, ?, ?)"
_RENEW = "UPDATE prediction SET label = ?, confidence = ? WHERE id = ?"
_ENTER = sa.text(
    "INSERT INTO recording_label SELECT finding.label, answered_at, recording.id, probability,"
    " checkpoint_id FROM recording JOIN finding ON finding.prediction_id = recording.prediction_id"
    " WHERE recording.id > :after AND recording.id <= :last AND answered_at IS NOT NULL"
)
_ANSWER = "(SELECT label, confidence FROM prediction WHERE id = recording.prediction_id)"
_COPY = sa.text(
    f"UPDATE recording SET (label, confidence) = {_ANSWER} WHERE id > :after AND id <= :last"
    f" AND prediction_id IS NOT NULL AND (label, confidence) IS NOT {_ANSWER}"
)
_RECOUNT = (
    "DELETE FROM tally",
    "INSERT INTO tally (state, day, label, checkpoint_id, n)"
    " SELECT state, substr(coalesce(answered_at, first_seen_at), 1, 10), coalesce(label, ''),"
    " coalesce(checkpoint_id, 0), count(*) FROM recording GROUP BY 1, 2, 3, 4",
)
Finding = tuple[int, str, float | None, int, int]


def upgrade() -> None:
    """In pieces, each committed and moved out of the log: in one go the log of long recordings
    would be as large as the ledger. One that was killed begins again, and finds what it changed
    as it would change it; the columns and the version come with the last commit.
    """
    connection = op.get_bind()
    op.drop_index("ix_recording_label", if_exists=True)  # its pages serve the new tables
    for table in ("finding", "recording_label"):
        op.drop_table(table, if_exists=True)
    _create_tables()
    _commit(connection)
    several, has_long = _find(connection, _labels(connection))
    newest = connection.scalar(sa.text("SELECT max(id) FROM recording")) or 0
    for after in range(0, newest, _PIECE_ROWS):
        values = {"after": after, "last": after + _PIECE_ROWS}
        if has_long:
            connection.execute(_COPY, values)
        connection.execute(_ENTER, values)
        _commit(connection)
        _tell(after, min(after + _PIECE_ROWS, newest), newest, "recordings")
    single, yes = sa.text("'single'"), sa.text("1")
    for column in (
        sa.Column("task", sa.Text, nullable=False, server_default=single),
        sa.Column("thresholds", sa.Text),
        sa.Column("one_label", sa.Integer, nullable=False, server_default=yes),
    ):
        op.add_column("checkpoint", column)
    for number in several:
        one = {"number": number}
        connection.execute(sa.text("UPDATE checkpoint SET one_label = 0 WHERE id = :number"), one)
    if has_long:
        for statement in _RECOUNT:
            connection.exec_driver_sql(statement)


def _commit(connection: sa.Connection) -> None:
    for statement in ("COMMIT", "PRAGMA wal_checkpoint(PASSIVE)", "BEGIN IMMEDIATE"):
        connection.exec_driver_sql(statement)


def _tell(before: int, done: int, total: int, what: str) -> None:
    if done // _TOLD_EACH > before // _TOLD_EACH or done == total:
        context.config.attributes["tell"](f"indexed {done:,} of {total:,} {what} by label")


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


def _labels(connection: sa.Connection) -> dict[int, list[str]]:
    found = connection.execute(sa.text("SELECT id, labels FROM checkpoint"))
    return {number: json.loads(labels) for number, labels in found}


def _pieces(connection: sa.Connection) -> Iterator[list[Any]]:
    """All answers. An hour of clips has as many bytes as thousands of short recordings."""
    piece: list[Any] = []
    while True:
        after, size = piece[-1][0] if piece else 0, 0
        piece = []
        with connection.execute(_READ, {"after": after}) as found:
            for row in islice(found, _PIECE_ROWS):
                piece.append(row)
                size += len(row[4])
                if size >= _PIECE_BYTES:
                    break
        if not piece:
            return
        yield piece


def _find(connection: sa.Connection, labels: dict[int, list[str]]) -> tuple[set[int], bool]:
    """The checkpoints whose answers may tell several labels, or a word for nothing; and whether
    any answer is of a long recording.
    """
    several = {number for number, own in labels.items() if {*map(str.lower, own)} & {*_NEGATIVE}}
    total = connection.scalar(sa.text("SELECT count(*) FROM prediction")) or 0
    has_long, n_done = False, 0
    for piece in _pieces(connection):
        findings: list[Finding] = []
        for (checkpoint, size), some in groupby(sorted(piece, key=_kind), key=_kind):
            own = labels[checkpoint]
            has_long |= size > 2 * len(own) * _LONG_CLIPS
            of, before = [tuple(row) for row in some], len(findings)
            if renewed := [*_of_equal_length(of, own, size, findings)]:
                connection.exec_driver_sql(_RENEW, renewed)
            n_told = sum(one[2] is not None for one in findings[before:])
            if n_told > len(of):
                several.add(checkpoint)
        findings.sort(key=lambda one: one[:2])
        connection.exec_driver_sql(_ADD, findings)
        _commit(connection)
        _tell(n_done, n_done := n_done + len(piece), total, "answers")
    return several, has_long


def _kind(row: Any) -> tuple[int, int]:
    return row[1], len(row[4])


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
