"""Reading a whole table a range of ids at a time: in bounded memory, and without an old view.

A view that stays open keeps the log of a daemon that writes meanwhile from being emptied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Row, Select, func, select

from storage.database.database import Database
from storage.values.progress import ProgressTicker

_RANGE = 5000


def id_ranges(
    database: Database, id: Column[Any], progress: ProgressTicker, what: str
) -> Iterator[ColumnElement[bool]]:
    """Conditions that part the ids there are now into ascending ranges."""
    with database.transaction() as connection:
        largest = connection.scalar(select(func.max(id))) or 0
    for before in range(0, largest, _RANGE):
        yield (id > before) & (id <= min(before + _RANGE, largest))
        progress.advance(what, before, largest)


def rows_by_range(
    database: Database, query: Select[Any], id: Column[Any], progress: ProgressTicker, what: str
) -> Iterator[Sequence[Row[Any]]]:
    """What the query finds, without rows that are added meanwhile, in ascending ranges of `id`."""
    for is_in_range in id_ranges(database, id, progress, what):
        with database.transaction() as connection:
            rows = connection.execute(query.where(is_in_range)).all()
        if rows:
            yield rows
