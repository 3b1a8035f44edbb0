"""Whether the files of recordings still lie where the ledger says.

A folder that is away as a whole (a card, a share, a disk that is not mounted) says nothing about
the files in it: these are not missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import starmap
from pathlib import Path
from typing import Any

from sqlalchemy import Row, select

from storage.database.database import Database
from storage.database.tables import inbox, recording
from storage.home.mounts import is_away
from storage.home.safe_open import stat_below

_row = recording.c
# What `look` reads of a row.
PLACE_COLUMNS = (_row.id, _row.inbox_id, _row.path, _row.archive_path, _row.archived_at)


class FilePresence:
    """Looks at the places of files; `away` are the folders that were found to be away."""

    def __init__(self, database: Database) -> None:
        self._ledger_file = database.file and database.file.absolute()
        self.away: set[bytes] = set()
        query = select(inbox.c.id, inbox.c.path, inbox.c.mount_point)
        with database.transaction() as connection:
            rows = connection.execute(query).all()
        self._folders = {row.id: row.path for row in rows}
        self._mount_points = {row.path: row.mount_point for row in rows}

    def look(self, rows: Sequence[Row[Any]]) -> tuple[set[int], set[int]]:
        """The recordings whose file is there, and those of which none is where it may be.

        Of others nobody can tell, for a folder is away. The folders are looked at after the files:
        one that goes away in between is noticed.
        """
        places = {row.id: dict(self._places(row)) for row in rows}
        lost = {
            id: {*found.values()}
            for id, found in places.items()
            if not any(starmap(self._is_there, found.items()))
        }
        away = set(filter(self._is_away, set[bytes]().union(*lost.values())))
        self.away |= away
        missing = {id for id, folders in lost.items() if away.isdisjoint(folders)}
        return places.keys() - lost.keys(), missing

    def usual_place(self, row: Row[Any]) -> bytes:
        """Where the file is to be read."""
        return next((place for place, _ in self._places(row)), row.path)

    def look_for_inboxes(self) -> None:
        """Also those in which nothing is missing yet."""
        self.away.update(filter(self._is_away, self._mount_points))

    def _places(self, row: Row[Any]) -> Iterator[tuple[bytes, bytes]]:
        """With the folder that holds them: an inbox, or what the archive has for it."""
        if row.archived_at is None:
            folder = self._folders[row.inbox_id]
            yield os.path.join(folder, row.path), folder
        if row.archive_path is not None:  # a move that is under way may have ended already
            yield row.archive_path, _archive_folder(row)

    def _is_there(self, place: bytes, folder: bytes) -> bool:
        """What cannot be looked at, for want of a right or by a fault of the disk, may be there.

        In an inbox no link leads to a file; in the archive its owner may have laid some.
        """
        try:
            if folder in self._mount_points:
                stat_below(folder, place.removeprefix(os.path.join(folder, b"")))
            else:
                os.lstat(place)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            pass
        return True

    def _is_away(self, folder: bytes) -> bool:
        point = self._mount_points.get(folder)
        mount_point = None if point is None else Path(os.fsdecode(point))
        return is_away(Path(os.fsdecode(folder)), mount_point, self._ledger_file)


def _archive_folder(row: Row[Any]) -> bytes:
    """What the archive has for the inbox: the folder without that of the path in it."""
    folder: bytes = os.path.dirname(row.archive_path)
    below: bytes = os.path.dirname(row.path)
    return folder.removesuffix(b"/" + below) if below else folder
