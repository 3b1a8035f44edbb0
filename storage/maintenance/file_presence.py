"""Whether the files of recordings still lie where the ledger says.

A folder that is away as a whole (a card, a share, a disk that is not mounted) says nothing about
the files in it: these are not missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Row, select

from storage.database.engine import Database
from storage.database.tables import inbox, recording
from storage.home.mounts import is_away

_row = recording.c
# What `missing` reads of a row.
PLACE_COLUMNS = (_row.id, _row.inbox_id, _row.path, _row.archive_path, _row.archived_at)


class _Inbox(NamedTuple):
    folder: bytes
    mount_point: bytes | None


class FilePresence:
    """Looks at the places of files; `away` are the folders that were found to be away."""

    def __init__(self, database: Database) -> None:
        self._ledger_file = database.path.absolute()
        self.away: set[bytes] = set()
        query = select(inbox.c.id, inbox.c.path, inbox.c.mount_point)
        with database.transaction() as connection:
            self._inboxes = {id: _Inbox(*rest) for id, *rest in connection.execute(query)}

    def missing(self, rows: Sequence[Row[Any]]) -> set[int]:
        """The recordings of which nothing lies at any place where their file may be.

        The folders are looked at after the files: one that goes away in between is noticed.
        """
        lost = [row for row in rows if all(map(_holds_nothing, self._places(row)))]
        folders = {folder for row in lost for folder in self._folders(row)}
        away = {folder for folder in folders if self._is_away(folder)}
        self.away |= away
        return {row.id for row in lost if away.isdisjoint(self._folders(row))}

    def usual_place(self, row: Row[Any]) -> bytes:
        """Where the file is to be read."""
        if row.archived_at is not None and row.archive_path is not None:
            return bytes(row.archive_path)
        return os.path.join(self._inboxes[row.inbox_id].folder, row.path)

    def look_for_inboxes(self) -> None:
        """Also those in which nothing is missing yet."""
        self.away.update(
            each.folder for each in self._inboxes.values() if self._is_away(each.folder)
        )

    def _places(self, row: Row[Any]) -> Iterator[bytes]:
        if row.archived_at is None:
            yield os.path.join(self._inboxes[row.inbox_id].folder, row.path)
        if row.archive_path is not None:  # a move that is under way may have ended already
            yield row.archive_path

    def _folders(self, row: Row[Any]) -> Iterator[bytes]:
        if row.archived_at is None:
            yield self._inboxes[row.inbox_id].folder
        if row.archive_path is not None:
            yield _archive_folder(row)

    def _is_away(self, folder: bytes) -> bool:
        points = {each.folder: each.mount_point for each in self._inboxes.values()}
        point = points.get(folder)
        known = None if point is None else Path(os.fsdecode(point))
        return is_away(Path(os.fsdecode(folder)), known, self._ledger_file)


def _archive_folder(row: Row[Any]) -> bytes:
    """What the archive has for the inbox: the folder without that of the path in it."""
    folder: bytes = os.path.dirname(row.archive_path)
    below: bytes = os.path.dirname(row.path)
    return folder.removesuffix(b"/" + below) if below else folder


def _holds_nothing(place: bytes) -> bool:
    """What cannot be looked at, for want of a right or by a fault of the disk, may be there."""
    try:
        os.lstat(place)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
