"""Which index SQLite reads, and for how long it may read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Select, Table
from sqlalchemy.exc import DBAPIError

_TICK_STEPS = 5_000  # of SQLite's machine, some 0.3 ms, between two looks at the clock

Clock = Callable[[], float]


class OutOfTime(Exception):
    """The statement was ended since it took longer than it may."""


def by_index(query: Select[Any], table: Table, index: str) -> Select[Any]:
    """Name the index to read, where SQLite would have to guess; other databases are not told."""
    return query.with_hint(table, f"INDEXED BY {index}", "sqlite")


@contextmanager
def time_limit(
    connection: Connection, deadline: float, clock: Clock = time.monotonic
) -> Iterator[None]:
    """Raises OutOfTime where the body's statement still runs at the deadline."""
    raw: Any = connection.connection.driver_connection
    raw.set_progress_handler(lambda: clock() >= deadline, _TICK_STEPS)
    try:
        yield
    except DBAPIError as error:
        if "interrupted" not in str(error.orig):
            raise
        raise OutOfTime from error
    finally:
        raw.set_progress_handler(None, 0)
