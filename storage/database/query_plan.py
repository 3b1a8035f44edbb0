"""Which index SQLite reads, and for how long it may read: it cannot know what a filter leaves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, Table
from sqlalchemy.exc import DBAPIError

_FIRST_STEPS = 20_000  # of SQLite's machine, some 2 to 10 ms; most pages take less
_GROWTH = 4
_TICK_STEPS = 5_000  # between two looks

T = TypeVar("T")
Clock = Callable[[], float]


class OutOfTime(Exception):
    """The statement was ended since it took longer than it may."""


def by_index(query: Select[Any], table: Table, index: str) -> Select[Any]:
    """Name the index to read, where SQLite would have to guess; other databases are not told."""
    return query.with_hint(table, f"INDEXED BY {index}", "sqlite")


def try_in_turn(
    connection: Connection,
    indexes: Sequence[str],
    ask: Callable[[str], T],
    deadline: float = float("inf"),
    clock: Clock = time.monotonic,
) -> T:
    """What `ask` returns with the index that leads to it soonest.

    Each may take some steps, then each may take more, until one is done: the whole takes a few
    times as long as the best of them, however large the ledger. Steps are counted, not seconds,
    so that the same index is read on a busy machine. A single one has all the steps there are.
    Raises OutOfTime at the deadline.
    """
    steps = _FIRST_STEPS if len(indexes) > 1 else float("inf")
    while True:
        for index in indexes:
            try:
                with _limit(connection, steps, deadline, clock):
                    return ask(index)
            except OutOfTime:
                if clock() >= deadline:
                    raise
        steps *= _GROWTH


@contextmanager
def _limit(connection: Connection, steps: float, deadline: float, clock: Clock) -> Iterator[None]:
    ticks = count(1)
    raw: Any = connection.connection.driver_connection
    raw.set_progress_handler(
        lambda: next(ticks) * _TICK_STEPS > steps or clock() >= deadline, _TICK_STEPS
    )
    try:
        yield
    except DBAPIError as error:
        if "interrupted" not in str(error.orig):
            raise
        raise OutOfTime from error
    finally:
        raw.set_progress_handler(None, 0)
