"""`clfd results --format parquet`: a table of columns with types, for programs that read millions.

Its schema is part of the contract, as the header of the CSV is: columns are only ever added.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from storage.errors import UnknownFormat
from storage.queries.embeddings import unpacked
from storage.queries.result import COLUMN_TABLE, MOMENTS, Result
from storage.values.standard_streams import quiet_end_of_stdout
from storage.values.timestamps import from_stamp

GROUP_ROWS = 5_000  # in memory at a time, as objects of Python
GROUP_BYTES = 64 * 2**20  # of embeddings


def write_parquet(
    file: Path | None,
    columns: tuple[str, ...],
    rows: Iterable[Result],
    is_whole: bool = True,
    has_embeddings: bool = False,
) -> None:
    """Group by group, so that memory does not grow with the ledger.

    A whole row has `id` and `scores` as well, else it is the columns alone; last are `embeddings`.
    `file` appears when it is complete; without one the bytes go to stdout. Raises UnknownFormat
    without pyarrow, and for a terminal, and StorageError where the file cannot be written.
    """
    pyarrow, parquet = _pyarrow()
    schema = _schema(pyarrow, columns, is_whole)
    if has_embeddings:
        clips = pyarrow.list_(pyarrow.list_(pyarrow.float32()))
        schema = schema.append(pyarrow.field("embeddings", clips))
    with _sink(file) as sink, parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for some in _groups(rows):
            objects = [_as_object(row, columns) for row in some]
            writer.write_batch(pyarrow.RecordBatch.from_pylist(objects, schema))


def _groups(rows: Iterable[Result]) -> Iterator[list[Result]]:
    some, n_bytes = [], 0
    for row in rows:
        some.append(row)
        n_bytes += len(row.packed_embeddings or b"")
        if len(some) >= GROUP_ROWS or n_bytes >= GROUP_BYTES:
            yield some
            some, n_bytes = [], 0
    if some:
        yield some


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UnknownFormat(
            "parquet is written with pyarrow, which is not installed: pip install pyarrow"
        ) from error
    return pyarrow, pyarrow.parquet


def _schema(pyarrow: Any, columns: tuple[str, ...], is_whole: bool) -> Any:
    """Behind the columns follow `scores`, as in JSON, and first is `id`."""
    types = {
        "text": pyarrow.string(),
        "integer": pyarrow.int32(),
        "float": pyarrow.float64(),
        "moment": pyarrow.timestamp("ms", tz="UTC"),
        "labels": pyarrow.list_(
            pyarrow.struct([("label", pyarrow.string()), ("probability", pyarrow.float64())])
        ),
    }
    kinds = {column.name: column.kind for column in COLUMN_TABLE}
    fields = [(name, types[kinds[name]]) for name in columns]
    if not is_whole:
        return pyarrow.schema(fields)
    scores = pyarrow.map_(pyarrow.string(), pyarrow.float64())
    return pyarrow.schema([("id", pyarrow.int64()), *fields, ("scores", scores)])


def _as_object(row: Result, columns: tuple[str, ...]) -> dict[str, object]:
    scores = row.scores()
    moments = {name: from_stamp(getattr(row, name)) for name in MOMENTS if getattr(row, name)}
    record = {"id": row.id, **row.record(columns), **moments}
    if row.packed_embeddings:
        record["embeddings"] = list(unpacked(row.packed_embeddings, row.n_clips))
    return record | {"scores": None if scores is None else list(scores.items())}


def _is_terminal() -> bool:
    return sys.stdout.isatty()


@contextmanager
def _sink(file: Path | None) -> Iterator[BinaryIO]:
    if file is None:
        if _is_terminal():
            raise UnknownFormat("parquet is nothing for a terminal; name a file with -o")
        with quiet_end_of_stdout():
            yield sys.stdout.buffer
        return
    from storage.home.atomic_write import output_file

    with output_file(file) as handle, os.fdopen(handle, "wb", closefd=False) as sink:
        yield sink
