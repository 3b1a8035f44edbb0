"""A file that leaves the inbox for another file system, once its copy is in its place.

It gets another name first, which intake leaves alone. Under that name nobody opens it any more, and
what it is then is what was copied, or it goes back: bytes that a writer adds late are found and
are a new version. After a kill the next move, or the next scan, brings it to an end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain, count

from classifier.audio.regular_file import fingerprint, shared_fingerprint
from daemon.archive.folder_entry import FolderEntry, flush_folder
from daemon.archive.rename import rename_no_replace
from daemon.intake.open_files import lease_tells
from storage.home.inbox_rules import LEAVING
from storage.home.safe_open import TO_LIST, open_folder

MAX_NAME_BYTES = 255


def is_renamed(found: os.stat_result, recorded: str) -> bool:
    """The same inode with the same content times; a rename changes the change time alone."""
    known = fingerprint(found)
    same_inode = known.rpartition(":")[0] == recorded.rpartition(":")[0]
    return same_inode or recorded == shared_fingerprint(known)


def leaving_entry(source: FolderEntry) -> FolderEntry:
    """The name under which a file leaves: its own, shortened where that gets too long."""
    return source.beside(LEAVING + _shortened(source.name, MAX_NAME_BYTES - len(LEAVING)))


def take_away(recorded: str, source: FolderEntry, undo: Callable[[], None]) -> None:
    """Out of the inbox, if it is the file that was copied; another version stays, or comes back.

    Raises OSError. Where it could not be taken away, `undo` comes first: it lies in one place only.
    """
    try:
        finish(recorded, source)  # what a kill left
        found = source.look()
        if found is not None and is_renamed(found, recorded):
            _rename(source, leaving_entry(source))
            finish(recorded, source)
    except OSError:
        undo()
        raise
    flush_folder(source.folder)


def finish(recorded: str, source: FolderEntry) -> None:
    """What has its name for leaving goes, or goes back. Raises OSError where it did not go."""
    leaving = leaving_entry(source)
    found = leaving.look()
    if found is None:
        return
    try:
        goes = is_renamed(found, recorded) and not _is_open(leaving)
        if goes:
            leaving.unlink()
    except OSError:
        put_back(leaving, source)
        raise
    if not goes:
        put_back(leaving, source)


def put_back(leaving: FolderEntry, source: FolderEntry) -> None:
    """Under its own name, or `x.1.wav` where another file has that by now."""
    for entry in chain([source], numbered(source)):
        with suppress(FileExistsError):
            rename_no_replace(leaving, entry)
            return


def restore(inbox: bytes, path: bytes) -> None:
    """Puts back a file that a scan found under its name for leaving. Raises OSError."""
    above, name = os.path.split(path)
    folder = open_folder(inbox, above, TO_LIST)
    try:
        leaving = FolderEntry(folder, os.path.join(inbox, path))
        with suppress(FileNotFoundError):  # finished meanwhile
            put_back(leaving, leaving.beside(name.removeprefix(LEAVING)))
    finally:
        os.close(folder)


def numbered(entry: FolderEntry) -> Iterator[FolderEntry]:
    """`x.1.wav`, `x.2.wav` and so on beside `x.wav`."""
    stem, suffix = os.path.splitext(entry.name)
    for number in count(1):
        ending = b".%d%s" % (number, suffix)
        yield entry.beside(stem[: MAX_NAME_BYTES - len(ending)] + ending)


def _rename(source: FolderEntry, leaving: FolderEntry) -> None:
    """Nothing has that name: it is ours, and `finish` has looked."""
    try:
        os.rename(source.name, leaving.name, src_dir_fd=source.folder, dst_dir_fd=leaving.folder)
    except OSError as error:
        error.filename, error.filename2 = source.path, None
        raise


def _shortened(name: bytes, n_bytes: int) -> bytes:
    stem, suffix = os.path.splitext(name)
    return stem[: n_bytes - len(suffix)] + suffix


def _is_open(entry: FolderEntry) -> bool:
    """As far as the kernel tells."""
    try:
        with entry.opened(os.O_RDONLY) as file:
            return bool(lease_tells(file))
    except PermissionError:
        return False
