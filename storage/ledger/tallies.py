"""The tallies: how many recordings share state, day, label and checkpoint, or state and folder.

Every transaction that adds, changes or removes recordings writes the changes with them. What is
asked every second, or of the whole ledger, is answered from here.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, Table, and_, delete, func, insert, or_, select, update

from storage.database.bulk import add_up
from storage.database.database import Database
from storage.database.tables import (
    DAY_LENGTH,
    folder_expression,
    folder_tally,
    prediction,
    recording,
    tally,
)
from storage.ledger.finding_rows import index_errors, remake_index
from storage.ledger.queue import IS_WORK
from storage.values.text import printable_path

_row = recording.c
_COPIES = (
    (_row.label, prediction.c.label),
    (_row.confidence, prediction.c.confidence),
    (_row.checkpoint_id, prediction.c.checkpoint_id),
)


class TallyKey(NamedTuple):
    """What the tallies know of one recording; `moment` is its answer's, else its first sight's."""

    state: str
    moment: str
    label: str | None
    checkpoint_id: int | None
    inbox_id: int
    path: bytes


class TallyChanges:
    """What a transaction changes in the tallies."""

    def __init__(self) -> None:
        self._answers: Counter[tuple[str, str, str, int]] = Counter()
        self._folders: Counter[tuple[int, str, str]] = Counter()

    def count(self, mark: TallyKey, by: int = 1) -> None:
        day = mark.moment[:DAY_LENGTH]
        self._answers[mark.state, day, mark.label or "", mark.checkpoint_id or 0] += by
        self._folders[mark.inbox_id, folder_of(mark.path), mark.state] += by

    def move(self, before: TallyKey, after: TallyKey) -> None:
        if before != after:
            self.count(before, -1)
            self.count(after)

    def write(self, connection: Connection) -> None:
        add_up(connection, tally, [(*key, n) for key, n in self._answers.items() if n])
        add_up(connection, folder_tally, [(*key, n) for key, n in self._folders.items() if n])


def folder_of(path: bytes) -> str:
    return printable_path(os.path.dirname(path)) or "."


def state_counts(connection: Connection) -> dict[str, int]:
    """Recordings per state, and `queued`: what a daemon still has to do."""
    per_state = select(tally.c.state, func.sum(tally.c.n)).group_by(tally.c.state)
    # What is pending waits in any case; counting those one by one would slow a long queue down.
    is_again = and_(IS_WORK, _row.requeued.is_not(None), _row.state != "pending")
    again = connection.scalar(select(func.count()).select_from(recording).where(is_again))
    counts = dict.fromkeys(("pending", "done", "failed", "superseded"), 0)
    counts |= {state: int(number) for state, number in connection.execute(per_state)}
    return counts | {"queued": counts["pending"] + (again or 0)}


def recount(connection: Connection) -> None:
    """Make the tallies, and the index of findings, anew from the recordings."""
    for table, counted in _counted():
        connection.execute(delete(table))
        connection.execute(insert(table).from_select([column.name for column in table.c], counted))
    remake_index(connection)


def repair_tallies(database: Database) -> bool:
    """Make tallies and copies of answers anew where they are wrong; returns whether they were."""
    if not any(tally_errors(database)):
        return False
    source = {
        copy: select(answer).where(prediction.c.id == _row.prediction_id).scalar_subquery()
        for copy, answer in _COPIES
    }
    with database.transaction() as connection:
        connection.execute(update(recording).values(source))
        recount(connection)
    return True


def tally_errors(database: Database) -> Iterator[str]:
    """What tallies and copies of answers say, and what they are of does not, a line each."""
    differs = [copy.is_distinct_from(answer) for copy, answer in _COPIES]
    joined = recording.outerjoin(prediction, prediction.c.id == _row.prediction_id)
    with database.transaction() as connection:
        for table, counted in _counted():
            kept = {
                tuple(row[:-1]): row[-1] for row in connection.execute(select(table)) if row[-1]
            }
            true = {tuple(row[:-1]): row[-1] for row in connection.execute(counted)}
            for key in sorted(kept.keys() | true.keys()):
                n_kept, n = kept.get(key, 0), true.get(key, 0)
                if n_kept != n:
                    yield f"{table.name} {' '.join(map(str, key))}: {n_kept} instead of {n}"
        n_stray = connection.scalar(select(func.count()).select_from(joined).where(or_(*differs)))
        if n_stray:
            yield f"{n_stray} recordings have another answer than their prediction"
        if n_wrong := index_errors(connection):
            yield f"{n_wrong} findings are missing among those of current answers, or of no such"


def _counted() -> Iterator[tuple[Table, Select[Any]]]:
    moment = func.coalesce(_row.answered_at, _row.first_seen_at)
    day = func.substr(moment, 1, DAY_LENGTH)
    label, checkpoint_id = func.coalesce(_row.label, ""), func.coalesce(_row.checkpoint_id, 0)
    answers = (_row.state, day, label, checkpoint_id)
    yield tally, select(*answers, func.count()).group_by(*answers)
    folders = (_row.inbox_id, folder_expression(), _row.state)
    yield folder_tally, select(*folders, func.count()).group_by(*folders)
