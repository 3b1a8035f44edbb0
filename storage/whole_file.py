"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from storage.errors import StorageError


def write_whole(path: Path, data: bytes, mode: int | None = None) -> None:
    """Writes aside, flushes and renames: what had this name before is replaced in one step.

    `mode` is that of the file; without one the umask decides. A reader sees the old file or the
    new one, also after a power cut. Raises StorageError where it cannot be written.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        try:
            with aside.open("wb") as file:
                if mode is not None:
                    os.fchmod(file.fileno(), mode)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
        flush_folder(path.parent)
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror}; check the folder and the space on its disk"
        ) from error


def flush_folder(folder: Path) -> None:
    """Makes names that came or went in it outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
