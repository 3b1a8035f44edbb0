"""Bulk work: lists of recordings as one JSON parameter, IN lists in pieces, many rows a statement.

SQLite goes through the JSON table and finds each version by an index.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import Connection, Dialect, Integer, String, Table, UpdateBase, bindparam, func
from sqlalchemy.sql.compiler import SQLCompiler

PARAMETER = "contents"

ASKED = func.json_each(bindparam(PARAMETER, type_=String)).table_valued("value", name="asked")
ASKED_ID = func.json_extract(ASKED.c.value, "$[0]", type_=Integer)
ASKED_DIGEST = func.json_extract(ASKED.c.value, "$[1]", type_=String)


def contents_of(asked: Iterable[tuple[int, str | None]]) -> str:
    """The parameter: ids of recordings with digests."""
    return json.dumps([(id, digest) for id, digest in asked if digest is not None])


# SQLite takes 32,766 variables in a statement; shorter lists are compiled and planned faster.
_IN_LIMIT = 500

T = TypeVar("T")


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Pieces short enough for an IN list."""
    for start in range(0, len(values), _IN_LIMIT):
        yield values[start : start + _IN_LIMIT]


def add_up(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add each row's last value to the row of the same key, which is made where it is missing."""
    if not rows:
        return
    from sqlalchemy.dialects.sqlite import insert

    names = [column.name for column in table.c]
    amount = table.c[names[-1]]
    added = insert(table)
    added = added.on_conflict_do_update(
        index_elements=list(table.primary_key), set_={amount: amount + added.excluded[amount.name]}
    )
    connection.execute(added, [dict(zip(names, row, strict=True)) for row in rows])


def execute_many(
    connection: Connection, statement: UpdateBase, rows: Sequence[dict[str, object]]
) -> None:
    """What `connection.execute` does with many rows, without its work for each value.

    That takes longer than what SQLite has to do. All rows have the same keys; values are what the
    driver takes as it is. A statement that is used again should be the same object, and has two
    parameters or more.
    """
    if rows:
        command, names, constants = _compiled(statement, connection.dialect, tuple(rows[0]))
        assert len(names) > 1
        values = itemgetter(*names)
        connection.exec_driver_sql(command, [values(constants | row) for row in rows])


@lru_cache(maxsize=256)
def _compiled(
    statement: UpdateBase, dialect: Dialect, keys: tuple[str, ...]
) -> tuple[str, list[str], dict[str, object]]:
    """The command, the names of its parameters in their order, and the values it brings along."""
    compiled = statement.compile(dialect=dialect, column_keys=keys)
    assert isinstance(compiled, SQLCompiler) and compiled.positiontup is not None
    constants = {name: v for name, v in compiled.params.items() if name not in keys}
    return str(compiled), compiled.positiontup, constants
