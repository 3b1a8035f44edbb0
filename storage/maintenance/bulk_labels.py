"""One label for all recordings that filters choose, as one act that one undo takes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, select

from storage.database.bulk import chunks
from storage.database.sqlite import Database
from storage.database.tables import human_label, label_event, label_mark, recording
from storage.errors import StorageError
from storage.labels.label_events import LabelEvent, Written, apply_events, new_act
from storage.queries.filters import Filters, clauses

MAX_MATCHING = 10_000
_row, _human, _mark = recording.c, human_label.c, label_mark.c


@dataclass(frozen=True)
class BulkLabel:
    """`n_kept` sounds, of which people had said something, were left as they are."""

    act: str
    written: Written
    n_kept: int


def write_matching(
    database: Database,
    filters: Filters,
    label: str,
    expected_count: int,
    author: str,
    act: str = "",
    replaces: bool = False,
) -> BulkLabel:
    """Label the whole of each recording that fits, in one transaction.

    `expected_count` is how many its author saw. With `replaces` also those of which people have
    said something as a whole. An act that was written already is not written again. Raises
    StorageError where another number fits now, or more than MAX_MATCHING.
    """
    act = act or new_act()
    with database.transaction() as connection:
        done = select(label_event.c.id).where(label_event.c.act == act)
        if repeated := connection.scalars(done).all():
            return BulkLabel(act, Written(repeated={*repeated}), 0)
        fitting = _fitting(connection, filters)
        if len(fitting) > MAX_MATCHING:
            raise StorageError(f"more than {MAX_MATCHING} recordings fit; narrow the filters")
        if len(fitting) != expected_count:
            raise StorageError(
                f"{len(fitting)} recordings fit now, not {expected_count}; look at them again"
            )
        digests = list(dict.fromkeys(fitting))
        answered = set() if replaces else _answered(connection, digests)
        events = [
            LabelEvent(f"{act}-{at}", digest, "label", label, way="bulk")
            for at, digest in enumerate(one for one in digests if one not in answered)
        ]
        return BulkLabel(act, apply_events(connection, events, author, act), len(answered))


def _fitting(connection: Connection, filters: Filters) -> list[str]:
    filters = replace(filters, history=False).within(connection)
    query = select(_row.digest).where(_row.digest.is_not(None), *clauses(filters))
    return [*connection.scalars(query.limit(MAX_MATCHING + 1))]


def _answered(connection: Connection, digests: Sequence[str]) -> set[str]:
    """Those of which people have said something as a whole."""
    return {
        digest
        for of in (_human, _mark)
        for some in chunks(digests)
        for digest in connection.scalars(
            select(of.digest).where(of.digest.in_(some), of.start_s == 0, of.end_s == 0)
        )
    }
