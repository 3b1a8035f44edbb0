"""A name in an open folder: whatever is exchanged above it meanwhile, it is the same file."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from storage.home.safe_open import SAFE_FLAGS, TO_LIST

_NO_FLUSH_NEEDED = (errno.EINVAL, errno.ENOTSUP)  # file systems that cannot flush a folder


@dataclass(frozen=True)
class FolderEntry:
    """`folder` is a handle; `path` is what people call the file. Links are never followed."""

    folder: int
    path: bytes

    @property
    def name(self) -> bytes:
        return os.path.basename(self.path)

    def beside(self, name: bytes) -> FolderEntry:
        """Another name in the same folder."""
        return replace(self, path=os.path.join(os.path.dirname(self.path), name))

    def stat(self) -> os.stat_result:
        """Raises OSError."""
        with self._named():
            return os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)

    def look(self) -> os.stat_result | None:
        """None where nothing lies there. Raises OSError otherwise."""
        try:
            return self.stat()
        except FileNotFoundError:
            return None

    def open(self, flags: int) -> int:
        """A descriptor. Raises OSError."""
        with self._named():
            return os.open(self.name, flags | SAFE_FLAGS, 0o600, dir_fd=self.folder)

    @contextmanager
    def opened(self, flags: int) -> Iterator[int]:
        """As `open`, for a while."""
        file = self.open(flags)
        try:
            yield file
        finally:
            os.close(file)

    def make_folder(self) -> None:
        """Raises OSError."""
        with self._named():
            os.mkdir(self.name, dir_fd=self.folder)

    def unlink(self) -> None:
        """Raises OSError."""
        with self._named():
            os.unlink(self.name, dir_fd=self.folder)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """An error tells the whole path."""
        try:
            yield
        except OSError as error:
            error.filename = self.path
            raise


def made_folder(path: bytes, refuse: Callable[[int], None]) -> int:
    """A handle, of one made with its parents where it is missing, each flushed into its own.

    Nothing is made in a folder for which `refuse` raises.
    """
    with suppress(FileNotFoundError):
        return os.open(path, TO_LIST)
    above = made_folder(os.path.dirname(path), refuse)
    try:
        refuse(above)
        folder = FolderEntry(above, path)
        with suppress(FileExistsError):
            folder.make_folder()
        flush_folder(above)
        return folder.open(TO_LIST)
    finally:
        os.close(above)


def flush_folder(folder: int) -> None:
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in _NO_FLUSH_NEEDED:
            raise
