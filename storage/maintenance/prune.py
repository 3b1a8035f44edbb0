"""Taking out what a plan says: every row goes only if it is still as it was judged.

A daemon may write meanwhile, so each is judged again right before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, select

from storage.database.bulk import chunks
from storage.database.engine import Database, driver
from storage.database.tables import metadata, prediction, recording
from storage.errors import StorageError
from storage.ledger.counters import CounterMark, CounterMismatch
from storage.maintenance.file_presence import FilePresence
from storage.maintenance.id_ranges import batches
from storage.maintenance.prune_plan import JUDGED, MarkedIds, PrunePlan, PruneRules
from storage.values.progress import ProgressTicker

_AT_ONCE = 1000  # rows in a transaction
_SOUND_CHECKPOINTS = (3, 51, 3)  # from this SQLite on two processes may empty the log at once
_row = recording.c
# What goes with a recording; keys of another kind would have it stay.
_BELOW = [
    key.parent
    for table in metadata.sorted_tables
    for key in table.foreign_keys
    if key.column is _row.id and key.ondelete == "CASCADE"
]


def carry_out(reader: Database, pruner: Database, made: PrunePlan, pulse: ProgressTicker) -> None:
    """Delete what the plan says, a thousand rows in a transaction, with the tallies.

    Raises StorageError, and deletes nothing, where recordings are meant that wait or are read.
    """
    if made.busy:
        raise StorageError(
            f"{made.busy} of these recordings wait for an answer or are being read (the first is"
            f" {made.first_busy}); let `clfd run --once` finish them, then prune"
        )
    left, judge = made.ids(), PruneRules(made.wish, FilePresence(reader))
    total = len(left)
    # Copies came after what they share and go before it. The few that are the other way round
    # find it unshared the next time.
    has_changed = bool(total)
    while has_changed:
        has_changed = False
        for ids in batches(reversed(left), _AT_ONCE):
            has_changed |= _delete_recordings(reader, pruner, ids, made, left, judge)
            pulse.advance("deleted", total - len(left), total)
            _keep_log_short(pruner)
    made.shared += len(left)
    for ids in batches(made.predictions, _AT_ONCE):
        made.deleted["history"] += _delete_predictions(pruner, ids)
        pulse.beat(f"predictions deleted: {made.deleted['history']}")
        _keep_log_short(pruner)
    made.changed += len(made.predictions) - made.deleted["history"]


def _delete_recordings(
    reader: Database,
    pruner: Database,
    ids: Sequence[int],
    made: PrunePlan,
    left: MarkedIds,
    judge: PruneRules,
) -> bool:
    """Whether any went; what is no longer to go leaves `left` as well."""
    with reader.transaction() as connection:
        judged = {row.id: row for row in _judged(connection, ids)}
    reasons = judge.reasons(list(judged.values()))
    with pruner.transaction() as connection:
        as_judged = {
            row.id: row
            for row in _judged(connection, ids)
            if row.id in reasons and row == judged[row.id] and not row.is_busy
        }
        going = as_judged.keys() - _leaders(connection, as_judged.keys())
        _delete(connection, [as_judged[id] for id in going])
    for id in ids:
        if id not in as_judged:
            made.changed += 1
        if id not in as_judged or id in going:
            left.discard(id)
    made.deleted.update(reasons[id] for id in going)
    return bool(going)


def _judged(connection: Connection, ids: Sequence[int]) -> Iterator[Row[Any]]:
    for some in chunks(ids):
        yield from connection.execute(JUDGED.where(_row.id.in_(some)))


def _leaders(connection: Connection, ids: Collection[int]) -> set[int]:
    """Those whose answers others share that are not among them, or share with such."""
    owners = _owners(connection, list(ids))
    links = [
        (sharer, owners[prediction_id])
        for sharer, prediction_id in _answers_of(connection, _digests(connection, list(ids)))
        if prediction_id in owners and owners[prediction_id] != sharer
    ]
    going = set(ids)
    while stay := {leader for sharer, leader in links if leader in going and sharer not in going}:
        going -= stay
    return set(ids) - going


def _owners(connection: Connection, ids: Sequence[int]) -> dict[int, int]:
    """Recordings by their predictions."""
    found: dict[int, int] = {}
    for some in chunks(ids):
        query = select(prediction.c.id, prediction.c.recording_id)
        of_some = query.where(prediction.c.recording_id.in_(some))
        found.update((id, owner) for id, owner in connection.execute(of_some))
    return found


def _digests(connection: Connection, ids: Sequence[int]) -> list[str]:
    found: set[str] = set()
    for some in chunks(ids):
        query = select(_row.digest).where(_row.id.in_(some), _row.digest.is_not(None))
        found.update(connection.scalars(query))
    return list(found)


def _answers_of(connection: Connection, digests: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Recordings of these contents with their answers: none shares that of another content.

    No index leads from an answer to the recordings that share it.
    """
    for some in chunks(digests):
        query = select(_row.id, _row.prediction_id).where(_row.digest.in_(some))
        yield from ((row.id, row.prediction_id) for row in connection.execute(query))


def _delete(connection: Connection, rows: Sequence[Row[Any]]) -> None:
    difference = CounterMismatch()
    for row in rows:
        mark = CounterMark(
            row.state, row.moment, row.label, row.checkpoint_id, row.inbox_id, row.path
        )
        difference.count(mark, -1)
    for some in chunks([row.id for row in rows]):
        for key in _BELOW:
            connection.execute(delete(key.table).where(key.in_(some)))
        connection.execute(delete(recording).where(_row.id.in_(some)))
    difference.write(connection)


def _delete_predictions(pruner: Database, ids: Sequence[int]) -> int:
    """How many went: those that answer nothing now."""
    with pruner.transaction() as connection:
        digests: set[str] = set()
        for some in chunks(ids):
            owner = and_(_row.id == prediction.c.recording_id, prediction.c.id.in_(some))
            digests.update(connection.scalars(select(_row.digest).join(prediction, owner)))
        current = {prediction_id for _, prediction_id in _answers_of(connection, list(digests))}
        going = [id for id in ids if id not in current]
        return sum(
            connection.execute(delete(prediction).where(prediction.c.id.in_(some))).rowcount
            for some in chunks(going)
        )


def _keep_log_short(pruner: Database) -> None:
    """No daemon may be there to do so."""
    if driver().sqlite_version_info >= _SOUND_CHECKPOINTS:
        pruner.tend()
