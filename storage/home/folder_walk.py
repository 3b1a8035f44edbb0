"""Everything below a folder, listed by handles: no link is followed, and no path is too long."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from storage.home.safe_open import (
    PATH_MAX,
    TO_LIST,
    TO_PASS,
    Identity,
    folder_below,
    identity,
    open_folder,
    refuse_apart,
)

Failed = Callable[[bytes, OSError], None]


class Entry(Protocol):
    """Of `os.DirEntry` what a scan asks."""

    @property
    def name(self) -> str: ...
    def is_dir(self, *, follow_symlinks: bool = True) -> bool: ...
    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result: ...


class Walk(Protocol):
    """Of `FolderWalk` what a scan asks."""

    n_folders: int
    n_nameable: int

    def enter(self, folder: bytes) -> None: ...
    def entries(self) -> Iterator[tuple[bytes, Entry]]: ...


class FolderWalk:
    """Folder by folder, since a tree may be deeper than Python's stack; one is open at a time.

    `failed` is called with each folder that cannot be listed. Those `apart` raise FolderApart.
    Of `n_folders` that were listed, `n_nameable` can be named to the kernel by their whole path.
    """

    def __init__(
        self,
        root: Path,
        failed: Failed,
        apart: Collection[Identity] = (),
    ) -> None:
        self._root = os.fsencode(root)
        self._failed = failed
        self._apart = apart
        self._waiting = [b""]
        self._open: tuple[bytes, int] | None = None
        self.n_folders = self.n_nameable = 0

    def enter(self, folder: bytes) -> None:
        """To be listed when the one before is done."""
        self._waiting.append(folder)

    def entries(self) -> Iterator[tuple[bytes, os.DirEntry[str]]]:
        """With their paths from the root on."""
        try:
            while self._waiting:
                folder = self._waiting.pop()
                try:
                    yield from self._entries_of(folder)
                except OSError as error:
                    self._failed(folder, error)
        finally:
            self._leave()

    def _entries_of(self, folder: bytes) -> Iterator[tuple[bytes, os.DirEntry[str]]]:
        handle = self._enter(folder)
        prefix = folder + b"/" if folder else b""
        with os.scandir(handle) as entries:
            self.n_folders += 1
            self.n_nameable += len(self._root) + len(prefix) < PATH_MAX
            for entry in entries:
                yield prefix + os.fsencode(entry.name), entry

    def _enter(self, folder: bytes) -> int:
        """From the folder that holds it, where that is open still: a deep tree has many above."""
        above, _, name = folder.rpartition(b"/")
        if folder and self._open is not None and self._open[0] == above:
            handle = folder_below(self._open[1], name, TO_LIST)
        else:
            handle = open_folder(self._root, folder, TO_LIST)
        self._leave()
        self._open = folder, handle
        refuse_apart(handle, self._apart)
        return handle

    def _leave(self) -> None:
        if self._open is not None:
            os.close(self._open[1])
            self._open = None


def folders_apart(root: Path, inboxes: Sequence[Path], archive: Identity | None) -> set[Identity]:
    """Folders that are no part of the inbox at `root`: other inboxes, and the archive.

    A mount may have put them into it. Of two inboxes that are one folder the first one counts.
    """
    position = inboxes.index(root)
    later = {*map(folder_identity, inboxes[position + 1 :])} - {folder_identity(root)}
    others = {*map(folder_identity, inboxes[:position]), archive}
    return {each for each in later | others if each is not None}


def overlap(one: Path, other: Path) -> bool:
    """Whether one folder is, or lies in, the other one, by whatever names; missing ones do not."""
    try:
        first, second = _with_those_above(one), _with_those_above(other)
    except OSError:
        return False
    return first[0] in second or second[0] in first


def with_those_above(folder: int) -> Iterator[Identity]:
    """An open folder and those above it, up to the root of the file system. Raises OSError."""
    handle, last = os.dup(folder), None
    try:
        while (found := identity(os.fstat(handle))) != last:
            yield found
            last, above = found, os.open("..", TO_PASS, dir_fd=handle)
            os.close(handle)
            handle = above
    finally:
        os.close(handle)


def _with_those_above(folder: Path) -> list[Identity]:
    handle = os.open(folder, TO_PASS)
    try:
        return list(with_those_above(handle))
    finally:
        os.close(handle)


def folder_identity(folder: Path | None) -> Identity | None:
    """None where there is no such folder, or it cannot be looked at."""
    try:
        return None if folder is None else identity(os.stat(folder))
    except OSError:
        return None
