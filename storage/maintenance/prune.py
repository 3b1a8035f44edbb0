"""Taking out what a plan marked: every row goes only if it is still as it was found.

A daemon may write meanwhile, so each recording is looked at again right before, outside of any
transaction since that looks at files; the statement that deletes it compares the row once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, Table, delete, func, select

from storage.database.bulk import chunks
from storage.database.database import Database
from storage.database.tables import metadata, prediction, recording
from storage.errors import StorageError
from storage.ledger.finding_rows import leave_index
from storage.ledger.tallies import TallyChanges, TallyKey
from storage.maintenance.file_presence import FilePresence
from storage.maintenance.prune_plan import (
    RECORDINGS,
    PrunePlan,
    PruneRules,
    Reason,
    is_busy,
    is_shared,
    mark,
    marked,
    marked_prediction,
    moment,
    unused_predictions,
)
from storage.values.progress import ProgressTicker
from storage.values.text import counted

_AT_ONCE = 1000  # rows in a transaction
_row = recording.c
_LARGEST_ID = 2**63 - 1
# What goes with a recording, and with an answer; keys of another kind would have it stay.
_CHILD_KEYS, _ANSWER_KEYS = (
    [
        key.parent
        for table in metadata.sorted_tables
        for key in table.foreign_keys
        if key.column is parent and key.ondelete == "CASCADE"
    ]
    for parent in (_row.id, prediction.c.id)
)
_STILL_SO = (
    select(_row.id)
    .join(marked, marked.c.id == _row.id)
    .where(
        _row.state == marked.c.state,
        moment == marked.c.moment,
        _row.archive_path.is_not_distinct_from(marked.c.archive_path),
        _row.archived_at.is_not_distinct_from(marked.c.archived_at),
        ~is_busy,
        ~is_shared,
    )
)
_COUNTED = (_row.state, moment, _row.label, _row.checkpoint_id, _row.inbox_id, _row.path)


def carry_out(database: Database, plan: PrunePlan, progress: ProgressTicker) -> None:
    """Delete what the plan marked in this database, a thousand rows in a transaction.

    Counters are kept right. Raises StorageError, and deletes nothing, where the plan means
    recordings that wait for an answer or are being read.
    """
    if plan.busy:
        raise StorageError(
            f"not answered yet, or being read: {counted(plan.busy, 'recording')} of these"
            f" (the first is {plan.first_busy}); let `clfd run --once` finish, then prune"
        )
    # A recording whose answer others share goes after these: again, until nothing goes.
    while _delete_marked(database, plan, progress):
        pass
    with database.transaction() as connection:
        plan.shared += connection.scalar(select(func.count()).select_from(marked)) or 0
    for ids in _batches(database, marked_prediction):
        is_meant = prediction.c.id.in_(
            select(marked_prediction.c.id).where(_between(marked_prediction, ids))
        )
        unused = unused_predictions().where(is_meant)
        with database.transaction(alone=True) as connection:
            deletion = delete(prediction).where(prediction.c.id.in_(unused))
            deleted = connection.scalars(deletion.returning(prediction.c.id)).all()
            for some in chunks(deleted):
                for key in _ANSWER_KEYS:
                    connection.execute(delete(key.table).where(key.in_(some)))
        plan.deleted["history"] += len(deleted)
        progress.tick(f"predictions deleted: {plan.deleted['history']}")
        _keep_log_short(database)
    plan.changed += plan.planned["history"] - plan.deleted["history"]


def _delete_marked(database: Database, plan: PrunePlan, progress: ProgressTicker) -> int:
    """Once through all that is marked; returns how many went."""
    rules = PruneRules(plan.request, FilePresence(database))
    n_planned = plan.planned["superseded"] + plan.planned["missing"]
    n_before = plan.deleted.total()
    for ids in _batches(database, marked):
        reasons = _mark_again(database, plan, rules, ids)
        gone = _delete_recordings(database, ids)
        plan.deleted.update(reasons[id] for id in gone)
        progress.advance("deleted", plan.deleted.total(), n_planned)
        _keep_log_short(database)
    return plan.deleted.total() - n_before


def _batches(database: Database, table: Table) -> Iterator[Sequence[int]]:
    """Descending ids: copies came after what they share, and go before it."""
    below = _LARGEST_ID
    query = select(table.c.id).order_by(table.c.id.desc()).limit(_AT_ONCE)
    while True:
        with database.transaction() as connection:
            ids = connection.scalars(query.where(table.c.id < below)).all()
        if not ids:
            return
        yield ids
        below = ids[-1]


def _between(table: Table, ids: Sequence[int]) -> ColumnElement[bool]:
    return table.c.id.between(ids[-1], ids[0])


def _mark_again(
    database: Database, plan: PrunePlan, rules: PruneRules, ids: Sequence[int]
) -> dict[int, Reason]:
    """Marks anew what may still go; the rest has changed."""
    is_meant = _between(marked, ids)
    with database.transaction() as connection:
        query = RECORDINGS.where(_row.id.in_(select(marked.c.id).where(is_meant)))
        rows = connection.execute(query).all()
    reasons = rules.reasons(rows)
    going = [row for row in rows if row.id in reasons and not row.is_busy]
    with database.transaction() as connection:
        connection.execute(delete(marked).where(is_meant))
        mark(connection, going, reasons)
    plan.changed += len(ids) - len(going)
    return reasons


def _delete_recordings(database: Database, ids: Sequence[int]) -> list[int]:
    """The ids of those that went: neither changed since they were marked, nor shared."""
    going = _STILL_SO.where(_between(marked, ids))
    answer = _row.id, _row.answered_at, _row.prediction_id
    query = select(*answer, *_COUNTED).where(_row.id.in_(going))
    with database.transaction(alone=True) as connection:
        rows = connection.execute(query).all()
        gone = [row.id for row in rows]
        leave_index(connection, [row[:3] for row in rows if row.answered_at and row.prediction_id])
        for some in chunks(gone):
            connection.execute(delete(recording).where(_row.id.in_(some)))
            own = select(prediction.c.id).where(prediction.c.recording_id.in_(some))
            for key in _ANSWER_KEYS:
                connection.execute(delete(key.table).where(key.in_(own)))
            for key in (*_CHILD_KEYS, marked.c.id):
                connection.execute(delete(key.table).where(key.in_(some)))
        changes = TallyChanges()
        for row in rows:
            changes.count(TallyKey(*row[3:]), -1)
        changes.write(connection)
    return gone


def _keep_log_short(database: Database) -> None:
    """No daemon may be there to do so."""
    database.shorten_log(alone=False)
