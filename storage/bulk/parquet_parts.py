"""The manifest and the output of `clfd bulk` as Parquet: their columns, and their parts.

The columns are part of the contract: they are only ever added.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from storage.errors import StorageError, os_errors_as
from storage.home.atomic_write import aside_of, flush_folder

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as missing:
    raise StorageError(
        "clfd bulk works with pyarrow, which is not installed: pip install pyarrow"
    ) from missing

Ids = NDArray[np.int64]
Row = Mapping[str, Any]  # by the names of the columns

READ_ROWS = 4096  # in memory at a time
# As `storage.values.findings` has them: None is the probability of what only clips have.
FINDINGS = pa.list_(
    pa.struct(
        [
            ("label", pa.string()),
            ("probability", pa.float64()),
            ("first_clip", pa.int32()),
            ("last_clip", pa.int32()),
        ]
    )
)
MANIFEST = pa.schema(
    [
        ("id", pa.int64()),
        ("root", pa.string()),  # an absolute folder, or an s3:// URL
        ("path", pa.binary()),  # from the root on
        ("size_bytes", pa.int64()),
        ("fingerprint", pa.string()),
    ]
)
OUTPUT = pa.schema(
    [
        *(MANIFEST.field(name) for name in ("id", "root", "path")),
        ("path_text", pa.string()),
        *(MANIFEST.field(name) for name in ("size_bytes", "fingerprint")),
        ("digest", pa.string()),  # SHA-256 of the file, in hex
        ("state", pa.string()),  # done or failed
        ("label", pa.string()),
        ("confidence", pa.float64()),
        ("labels", FINDINGS),
        ("novelty", pa.float64()),
        ("scores", pa.list_(pa.float32())),  # in the order of the checkpoint's labels
        ("clip_scores", pa.binary()),  # float16 (C, L), little-endian
        ("clip_seconds", pa.float64()),
        ("clip_hop_seconds", pa.float64()),
        ("duration_s", pa.float64()),
        ("sample_rate_hz", pa.int64()),
        ("channels", pa.int64()),
        ("recorded_at", pa.string()),  # by the recorder's clock
        ("recorder", pa.string()),  # JSON
        ("rms_dbfs", pa.float64()),
        ("peak_dbfs", pa.float64()),
        ("clipped", pa.float64()),
        ("warning", pa.string()),
        ("error_class", pa.string()),
        ("error", pa.string()),
        ("checkpoint_digest", pa.string()),
        ("answered_at", pa.string()),  # a stamp, as the ledger has them
        ("scoring", pa.string()),
    ]
)


class ListedFile(NamedTuple):
    """A row of the manifest."""

    id: int
    root: str
    path: bytes
    size_bytes: int
    fingerprint: str


def file_id(root: str, path: bytes, fingerprint: str) -> int:
    """Of a file as it was listed: 63 bits of its BLAKE2b."""
    name = b"\0".join((os.fsencode(root), path, fingerprint.encode()))
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest()) >> 1


@contextmanager
def part_writer(file: Path, schema: pa.Schema) -> Iterator[Callable[[Sequence[Row]], None]]:
    """Gives a function that adds rows. Aside, flushed and renamed: a part is whole, or not there.

    Raises StorageError.
    """
    remedy = "check the folder and the space on its disk"
    with os_errors_as(StorageError, f"cannot write {file}", remedy):
        with aside_of(file) as handle:
            with (
                os.fdopen(handle, "wb", closefd=False) as sink,
                pq.ParquetWriter(sink, schema, compression="zstd") as writer,
            ):
                yield lambda rows: writer.write_batch(batch_of(schema, rows))
            os.fsync(handle)
        flush_folder(file.parent)


def batch_of(schema: pa.Schema, rows: Sequence[Row]) -> pa.RecordBatch:
    columns = [pa.array([row[field.name] for row in rows], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def write_part(file: Path, schema: pa.Schema, rows: Sequence[Row]) -> None:
    with part_writer(file, schema) as write:
        write(rows)


def read_rows(
    parts: Sequence[Path], columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """A few thousand rows at a time. Raises StorageError for what is no such file."""
    for part in parts:
        try:
            with pq.ParquetFile(part) as file:
                yield from file.iter_batches(READ_ROWS, columns=columns)
        except (OSError, pa.ArrowException) as error:
            raise StorageError(f"{part} cannot be read: {str(error).splitlines()[0]}") from error


def read_ids(parts: Sequence[Path]) -> Ids:
    """Of all rows, in their order: 8 bytes each."""
    found = [batch.column(0).to_numpy() for batch in read_rows(parts, ["id"])]
    return np.concatenate([np.empty(0, np.int64), *found])


def is_in(those: Ids, ids: Ids) -> NDArray[np.bool_]:
    """Of each id whether it is among those, which are sorted."""
    if not len(those):
        return np.zeros(len(ids), bool)
    places = np.minimum(np.searchsorted(those, ids), len(those) - 1)
    found: NDArray[np.bool_] = those[places] == ids
    return found


def count_rows(parts: Sequence[Path]) -> int:
    return sum(pq.read_metadata(part).num_rows for part in parts)
