"""Bulk work: lists of recordings as one JSON parameter, IN lists in pieces, many rows a statement.

The engine goes through the JSON table and finds each version by an index.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    Connection,
    Dialect,
    LargeBinary,
    String,
    Table,
    UpdateBase,
    and_,
    bindparam,
    literal_column,
    text,
)
from sqlalchemy.sql.compiler import SQLCompiler

from storage.database.functions import has_path, json_each, json_extract
from storage.database.tables import FOLDER_KEY, folder_tally, recording

PARAMETER = "contents"

ASKED = json_each(bindparam(PARAMETER, type_=String)).table_valued("value", name="asked")
ASKED_ID = json_extract(ASKED.c.value, literal_column("'$[0]'"), type_=BigInteger)
ASKED_DIGEST = json_extract(ASKED.c.value, literal_column("'$[1]'"), type_=String)


def contents_of(asked: Iterable[tuple[int, str | None]]) -> str:
    """The parameter: ids of recordings with digests."""
    return json.dumps([(id, digest) for id, digest in asked if digest is not None])


AT_PATHS = and_(
    recording.c.inbox_id == bindparam("inbox_id"),
    has_path(recording.c.path, bindparam("path_keys", type_=LargeBinary, expanding=True)),
)


def at_paths(
    connection: Connection, inbox_id: int | None, paths: Sequence[bytes]
) -> Iterator[dict[str, object]]:
    """The parameters of AT_PATHS, in pieces."""
    on_server = connection.dialect.name != "sqlite"
    for some in chunks(paths):
        keys = [hashlib.sha256(path).digest() for path in some] if on_server else some
        yield {"inbox_id": inbox_id, "path_keys": keys}


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
    insert = _upserting_insert(connection.dialect.name)
    names = [column.name for column in table.c]
    amount = table.c[names[-1]]
    added = insert(table)
    added = added.on_conflict_do_update(
        index_elements=_key(table, connection.dialect.name),
        set_={amount: amount + added.excluded[amount.name]},
    )
    connection.execute(added, [dict(zip(names, row, strict=True)) for row in rows])


def _upserting_insert(engine: str) -> Callable[[Table], Any]:
    return importlib.import_module(f"sqlalchemy.dialects.{engine}").insert  # type: ignore[no-any-return]


def _key(table: Table, engine: str) -> list[Any]:
    """What is unique: where a folder's name may be longer than an index can hold, more words."""
    if engine != "sqlite" and table is folder_tally:
        return [text(each) for each in FOLDER_KEY]
    return list(table.primary_key)


def execute_many(
    connection: Connection, statement: UpdateBase, rows: Sequence[dict[str, object]]
) -> None:
    """What `connection.execute` does with many rows, without its work for each value.

    That takes longer than what SQLite has to do; other drivers do it themselves. All rows have
    the same keys; values are what the driver takes as it is. A statement that is used again
    should be the same object, and has two parameters or more.
    """
    if rows and not connection.dialect.positional:
        connection.execute(statement, rows)
    elif rows:
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
