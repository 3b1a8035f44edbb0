"""Inboxes in a ledger that several machines may share: whose path it is, and who scans it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, and_, insert, or_, select, update

from storage.database.ledger_files import is_on_server
from storage.database.tables import inbox, lease
from storage.fleet.lease import is_live
from storage.values.text import printable_path

SHARED = "shared:"


def machine_place(hostname: str, machine_id: Path = Path("/etc/machine-id")) -> str:
    """Where paths of this machine are. Containers have no id, and go by their names."""
    try:
        found = machine_id.read_text().strip()
    except OSError:
        found = ""
    return f"host:{found or hostname}"


def without_device(fingerprint: str) -> str:
    """Size and time of writing, which every machine sees alike on a share."""
    return fingerprint if fingerprint.count(":") == 1 else ":".join(fingerprint.split(":")[2:4])


@dataclass(frozen=True)
class Inboxes:
    """`machine` is the place of this machine, empty in a ledger of its own.

    `names` are those of the folders that other machines see, too.
    """

    machine: str = ""
    names: Mapping[Path, str] = field(default_factory=dict)

    @property
    def places(self) -> list[str]:
        """Of which this machine sees the files."""
        return [self.machine, *(SHARED + name for name in self.names.values())]

    def is_shared(self, folder: Path) -> bool:
        return folder in self.names

    def local(self, place: str, path: bytes) -> Path:
        """The folder on this machine."""
        found = (folder for folder, name in self.names.items() if SHARED + name == place)
        return next(found, None) or Path(os.fsdecode(path))

    def fingerprint(self, folder: Path, fingerprint: str) -> str:
        """As files of this inbox have it; rows may be older than its name."""
        if not self.is_shared(folder) or not fingerprint.count(":"):
            return fingerprint
        return without_device(fingerprint)

    def find(self, connection: Connection, folder: Path) -> int | None:
        return connection.scalar(select(inbox.c.id).where(self._is_that(folder)))

    def find_or_add(self, connection: Connection, folder: Path) -> int:
        if (found := self.find(connection, folder)) is not None:
            return int(found)
        path = os.fsencode(folder)
        added = insert(inbox).values(
            path=path, path_text=printable_path(path), place=self._place(folder)
        )
        return int(connection.execute(added.returning(inbox.c.id)).scalar_one())

    def adopt(self, connection: Connection, folders: Iterable[Path]) -> None:
        """Rows of a path of this machine get their place: the ledger, or the inbox, was its own."""
        for folder in folders:
            place = self._place(folder)
            before = {"", self.machine} - {place}
            if before and self.find(connection, folder) is None:
                was = and_(inbox.c.path == os.fsencode(folder), inbox.c.place.in_(before))
                connection.execute(update(inbox).where(was).values(place=place))

    def take_scan(self, connection: Connection, folder: Path, lease_id: int) -> bool:
        """Whether this daemon is the one that lists the inbox: nobody else who lives does."""
        number = self.find_or_add(connection, folder)
        holder = inbox.c.scanned_by
        lives = select(lease.c.id).where(lease.c.id == holder, is_live()).exists()
        free = or_(holder.is_(None), holder == lease_id, ~lives)
        taken = update(inbox).where(inbox.c.id == number, free).values(scanned_by=lease_id)
        return connection.execute(taken).rowcount == 1

    def _place(self, folder: Path) -> str:
        name = self.names.get(folder)
        return self.machine if name is None else SHARED + name

    def _is_that(self, folder: Path) -> ColumnElement[bool]:
        place = inbox.c.place == self._place(folder)
        if self.is_shared(folder):
            return place
        return and_(place, inbox.c.path == os.fsencode(folder))


ALONE = Inboxes()  # in a ledger that no other machine sees


def inboxes_of_ledger(url: str, names: Mapping[str, str]) -> Inboxes:
    """Of the ledger at an SQLAlchemy URL; `names` are those of shared folders, by their paths."""
    machine = machine_place(socket.gethostname()) if is_on_server(url) else ""
    return Inboxes(machine, {Path(folder): name for folder, name in names.items()})
