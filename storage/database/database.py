"""What every engine gives: connections and transactions by role, checks, copies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from sqlalchemy import Connection

from storage.database.tables import SCHEMA_VERSION
from storage.errors import SchemaMismatch

Role = Literal["daemon", "writer", "editor", "pruner", "reader"]


@dataclass(frozen=True)
class Access:
    """What a process may do with the ledger, and how it goes about it."""

    writes: bool
    prepares: bool  # makes a missing ledger, upgrades an old one
    checkpoints: bool = False
    foreign_keys: bool = True
    locks_at_once: bool = True  # a writer's transaction; else its first statement that writes does
    cache_mib: int = 2
    timeout_seconds: int = 60  # with another process that holds the lock
    inspects_seconds: float = 0.0  # how long it may look for damage at the start


ACCESS: dict[Role, Access] = {
    # Only one process moves the WAL into the database: SQLite below 3.51.3 may corrupt it when a
    # second one does so at the same moment.
    # It comes back by itself, and shows a sign of life in between.
    "daemon": Access(
        writes=True,
        prepares=True,
        checkpoints=True,
        timeout_seconds=5,
        inspects_seconds=5.0,
        cache_mib=64,  # the inner pages of the indexes of ten million recordings
    ),
    "writer": Access(writes=True, prepares=True),
    "editor": Access(writes=True, prepares=False),
    # Deletes answers, for each of which the keys would look through all recordings: no index leads
    # to those that share it, since every new answer would have to keep it. So it looks itself.
    # Its plan lies in temporary tables, which are written while others write to the ledger.
    "pruner": Access(writes=True, prepares=False, foreign_keys=False, locks_at_once=False),
    "reader": Access(writes=False, prepares=False, timeout_seconds=10),
}


class Database(ABC):
    """An open ledger. Threads may share it; each transaction has a connection of its own.

    `place` names it for people, without a password; `file` is where it lies, unless on a server.
    """

    place: str
    file: Path | None

    @abstractmethod
    @contextmanager
    def transaction(self, alone: bool = False) -> Iterator[Connection]:
        """One transaction, of a writer alone in the ledger; rolled back if the body raises.

        `alone`: at once, also where the role takes the lock late.
        Raises LedgerUnavailable (locked, full, away), LedgerDamaged, or RowRefused (a bad value).
        """

    @abstractmethod
    def version(self) -> str:
        """The schema version. Raises LedgerDamaged when there is no ledger in it."""

    @abstractmethod
    def problems(self) -> list[str]:
        """What is damaged; empty: valid."""

    @abstractmethod
    def require_valid(self, seconds: float) -> None:
        """Look for damage, for so long: of a large ledger in a part. Raises LedgerDamaged."""

    @abstractmethod
    def shorten_log(self, alone: bool = True) -> str | None:
        """Empty a log that has grown; returns what is wrong when it cannot be emptied.

        Not `alone`: a daemon may do so at the same moment.
        """

    @abstractmethod
    def back_up(self, target: Path, check: bool = False) -> None:
        """Write a whole copy, aside and renamed; readers and writers go on meanwhile.

        With `check` it gets its name only if it is sound; raises LedgerUnavailable otherwise.
        """

    @abstractmethod
    def require_in_place(self) -> None:
        """Whether it still is what was opened. Raises StorageError."""

    @abstractmethod
    def require_alone(self) -> None:
        """Whether no daemon lives that no lock of a home would tell of. Raises AlreadyRunning."""

    @abstractmethod
    def require_schema(self) -> None:
        """Whether nobody has upgraded it since it was opened. Raises SchemaMismatch."""

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def require_current(version: str, place: str) -> None:
    """Raises SchemaMismatch for a ledger of another version than this."""
    if version > SCHEMA_VERSION:
        raise SchemaMismatch(
            f"the ledger {place} was written by a newer clfd (schema {version}, this one knows"
            f" {SCHEMA_VERSION}); update clfd"
        )
    if version < SCHEMA_VERSION:
        raise SchemaMismatch(
            f"the ledger {place} has the older schema {version}, not {SCHEMA_VERSION};"
            " stop the daemon and run `clfd db upgrade`"
        )
