"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import StorageError, os_errors_as
from storage.home.safe_open import create_plain


def write_whole(path: Path, data: bytes, mode: int | None = None) -> None:
    """Writes aside, flushes and renames: what had this name before is replaced in one step.

    `mode` is that of the file; without one the umask decides. A reader sees the old file or the
    new one, also after a power cut. Raises StorageError where it cannot be written.
    """
    remedy = "check the folder and the space on its disk"
    with os_errors_as(StorageError, f"cannot write {path}", remedy):
        with aside_of(path) as handle:
            if mode is not None:
                os.fchmod(handle, mode)
            with open(handle, "wb", closefd=False) as file:
                file.write(data)
            os.fsync(handle)
        flush_folder(path.parent)


@contextmanager
def aside_of(path: Path) -> Iterator[int]:
    """A new file, not flushed, that takes the name `path` when the body has ended well."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        handle = create_plain(aside)
        try:
            yield handle
        finally:
            os.close(handle)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def flush_folder(folder: Path) -> None:
    """Makes names that came or went in it outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
