"""The pause: a file in the home whose presence holds the intake, also over a restart.

Made and removed by `clfd service pause` and `resume`; by hand `touch` and `rm` do the same.
"""

from __future__ import annotations

from datetime import UTC, datetime

from storage.errors import StorageError, os_errors_as
from storage.home.paths import FILE_MODE, Home
from storage.values.timestamps import stamp


def paused_since(home: Home) -> str | None:
    """The stamp since when the intake is held; None while it is not. Raises StorageError."""
    with os_errors_as(StorageError, f"cannot look for {home.pause_file}"):
        try:
            found = home.pause_file.stat()
        except FileNotFoundError:
            return None
    return stamp(datetime.fromtimestamp(found.st_mtime, UTC))


def pause(home: Home) -> bool:
    """Holds the intake; whether it was not held before. Raises StorageError."""
    remedy = "join the group that owns the home, or look after its disk"
    with os_errors_as(StorageError, f"cannot make {home.pause_file}", remedy):
        try:
            home.pause_file.touch(FILE_MODE, exist_ok=False)
        except FileExistsError:
            return False
    return True


def resume(home: Home) -> bool:
    """Releases the intake; whether it was held. Raises StorageError."""
    remedy = "join the group that owns the home"
    with os_errors_as(StorageError, f"cannot remove {home.pause_file}", remedy):
        try:
            home.pause_file.unlink()
        except FileNotFoundError:
            return False
    return True
