"""Reading a whole table a span of ids at a time: in bounded memory, and without an old view.

A view that stays open keeps the log of a daemon that writes meanwhile from being emptied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Column, Row, Select, Table, func, select

from storage.database.engine import Database
from storage.values.progress import ProgressTicker

_SPAN = 5000

T = TypeVar("T")


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    left = iter(items)
    while some := list(islice(left, size)):
        yield some


def largest_id(database: Database, table: Table) -> int:
    with database.transaction() as connection:
        return connection.scalar(select(func.max(table.c.id))) or 0


def spans_of(
    database: Database,
    query: Select[Any],
    by: Column[Any],
    largest: int,
    pulse: ProgressTicker,
    what: str,
) -> Iterator[Sequence[Row[Any]]]:
    """What the query finds where `by` is up to `largest`, in ascending spans."""
    for before in range(0, largest, _SPAN):
        last = min(before + _SPAN, largest)
        with database.transaction() as connection:
            rows = connection.execute(query.where(by > before, by <= last)).all()
        pulse.advance(what, before, largest)
        if rows:
            yield rows
