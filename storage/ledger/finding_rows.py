"""Findings in the ledger: those of predictions, and the index over those of current answers.

A recording's rows in the index are found by the labels of its prediction, and the time of its
answer: they leave before either changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import (
    Connection,
    Integer,
    String,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    tuple_,
    update,
)

from storage.database.bulk import execute_many
from storage.database.tables import checkpoint, finding, recording, recording_label
from storage.ledger.outcomes import Scored

_found, _row, _index = finding.c, recording.c, recording_label.c
_ADD = insert(finding)
_KEY = tuple_(_index.label, _index.answered_at, _index.recording_id)
_OF_ROW = select(
    _found.label,
    bindparam("answered_at", type_=String),
    bindparam("row_id", type_=Integer),
).where(_found.prediction_id == bindparam("of_prediction"))
_LEAVE = delete(recording_label).where(_KEY.in_(_OF_ROW))
_ENTER = insert(recording_label).from_select(
    ["label", "answered_at", "recording_id", "probability", "checkpoint_id"],
    _OF_ROW.add_columns(
        _found.probability, bindparam("of_checkpoint", type_=Integer).label("checkpoint_id")
    ),
)
_of_prediction = and_(_found.prediction_id == _row.prediction_id, _row.answered_at.is_not(None))
_FINDINGS = (
    select(_found.label, _row.answered_at, _row.id, _found.probability, _row.checkpoint_id)
    .select_from(recording)
    .join(finding, _of_prediction)
)
_ENTRIES = _FINDINGS.with_only_columns(_found.label, _row.answered_at, _row.id)
Entry = tuple[int, str, int]  # recording, time of its answer, prediction


def write_findings(connection: Connection, written: Iterable[tuple[int, Scored]]) -> None:
    """Those of predictions by their ids; what they were before is gone already."""
    rows: list[dict[str, object]] = []
    several: set[int] = set()
    for prediction_id, scored in written:
        n_told = 0
        for label, probability, first_clip, last_clip in scored.own_findings:
            n_told += probability is not None
            rows.append(
                {
                    "prediction_id": prediction_id,
                    "label": label,
                    "probability": probability,
                    "first_clip": first_clip,
                    "last_clip": last_clip,
                }
            )
        if n_told > 1:
            several.add(scored.checkpoint_id)
    execute_many(connection, _ADD, rows)
    if several:
        has_one = and_(checkpoint.c.id.in_(several), checkpoint.c.one_label == 1)
        connection.execute(update(checkpoint).where(has_one).values(one_label=0))


def forget_findings(connection: Connection, digest: str | None, prediction_id: int) -> None:
    """Those of a prediction, and the entries of all recordings of its content that share it."""
    shared = and_(_row.digest == digest, _row.prediction_id == prediction_id)
    connection.execute(delete(recording_label).where(_KEY.in_(_ENTRIES.where(shared))))
    connection.execute(delete(finding).where(_found.prediction_id == prediction_id))


def leave_index(connection: Connection, entries: Sequence[Entry]) -> None:
    """Before the answers of these recordings change, or they go."""
    values = [
        {"row_id": id, "answered_at": answered_at, "of_prediction": prediction_id}
        for id, answered_at, prediction_id in entries
    ]
    execute_many(connection, _LEAVE, values)


def enter_index(connection: Connection, entries: Sequence[tuple[*Entry, int]]) -> None:
    """Recordings with new answers; behind each entry the checkpoint."""
    values = [
        {
            "row_id": id,
            "answered_at": answered_at,
            "of_prediction": prediction_id,
            "of_checkpoint": checkpoint_id,
        }
        for id, answered_at, prediction_id, checkpoint_id in entries
    ]
    execute_many(connection, _ENTER, values)


def index_errors(connection: Connection) -> int:
    """How many entries are missing, or are there and should not be."""
    there, wanted = select(recording_label), _FINDINGS
    n_missing = select(func.count()).select_from(wanted.except_(there).subquery())
    n_stray = select(func.count()).select_from(there.except_(wanted).subquery())
    return (connection.scalar(n_missing) or 0) + (connection.scalar(n_stray) or 0)


def remake_index(connection: Connection) -> None:
    connection.execute(delete(recording_label))
    names = [column.name for column in recording_label.c]
    connection.execute(insert(recording_label).from_select(names, _FINDINGS))
