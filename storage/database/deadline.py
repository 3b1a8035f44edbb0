"""Statements that end at a deadline, finished or not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

Clock = Callable[[], float]
_TICK_STEPS = 5_000  # of SQLite's machine, some 0.3 ms, between two looks at the clock


class TakesLong(Exception):
    """A statement that still ran at its deadline."""


@contextmanager
def interrupted_at(
    connection: Connection, deadline: float, clock: Clock = time.monotonic
) -> Iterator[None]:
    """Raises TakesLong from a statement that runs at the deadline, by the clock."""
    until = _on_server if connection.dialect.name == "postgresql" else _in_file
    with until(connection, deadline, clock):
        yield


@contextmanager
def _in_file(connection: Connection, deadline: float, clock: Clock) -> Iterator[None]:
    raw: Any = connection.connection.driver_connection
    raw.set_progress_handler(lambda: clock() >= deadline, _TICK_STEPS)
    try:
        yield
    except DBAPIError as error:
        if "interrupted" not in str(error.orig):
            raise
        raise TakesLong from error
    finally:
        raw.set_progress_handler(None, 0)


@contextmanager
def _on_server(connection: Connection, deadline: float, clock: Clock) -> Iterator[None]:
    """The server ends each statement after the time that is left when it begins, at most a day."""
    left_ms = max(1, int(1000 * min(86400.0, deadline - clock())))
    raw: Any = connection.connection.driver_connection
    raw.execute("SAVEPOINT deadline")  # to which the transaction goes back, else it is over
    raw.execute(f"SET LOCAL statement_timeout = {left_ms}")
    try:
        yield
    except DBAPIError as error:
        raw.execute("ROLLBACK TO deadline")
        if getattr(error.orig, "sqlstate", None) != "57014":
            raise
        raise TakesLong from error
    raw.execute("SET LOCAL statement_timeout = 0")
    raw.execute("RELEASE deadline")
