"""The files of a ledger: its own, and the log and the log's index that SQLite keeps beside it.

SQLite goes on with files that were renamed or deleted: what it commits then is lost, and a second
process, which opens other files under these names, knows nothing of the first. As long as one
connection is open, SQLite itself leaves all three where they are.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from storage.errors import (
    ConfigurationError,
    LedgerMissing,
    LedgerUnavailable,
    StorageError,
    os_errors_as,
)
from storage.home.safe_open import Identity, identity_of, leads_elsewhere


def file_of(url: str) -> Path:
    """The ledger's file. Raises ConfigurationError for a URL of another kind of database."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError(f"database = {url!r} is no SQLAlchemy URL") from error
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        raise ConfigurationError(
            f"database = {parsed.render_as_string()!r}: a ledger is an SQLite file or lies on a"
            " PostgreSQL server; write sqlite:////folder/clfd.db or"
            " postgresql+psycopg://USER@HOST/NAME"
        )
    return Path(str(parsed.database))


def is_on_server(url: str) -> bool:
    return url.startswith("postgresql+psycopg:")


def log_of(ledger: Path) -> Path:
    return ledger.with_name(f"{ledger.name}-wal")


class LedgerFiles:
    """Which files were found under the ledger's names when it was opened."""

    def __init__(self, ledger: Path) -> None:
        """Raises LedgerMissing, or LedgerUnavailable where its folder is out of reach."""
        self._ledger = ledger
        self._beside = (log_of(ledger), ledger.with_name(f"{ledger.name}-shm"))
        self._opened: dict[Path, Identity] = {}
        if not self._note(ledger):
            raise missing(ledger)

    def note_log(self) -> None:
        """For a connection that has read: by then SQLite has made log and index, or never does."""
        for file in self._beside:
            if file not in self._opened:
                self._note(file)

    def require_in_place(self) -> None:
        """From any thread; a few microseconds.

        Raises StorageError where a name leads elsewhere or nowhere, LedgerUnavailable where nobody
        can tell.
        """
        for file, opened in list(self._opened.items()):
            with os_errors_as(LedgerUnavailable, f"cannot reach the ledger {self._ledger}"):
                is_elsewhere = leads_elsewhere(file, opened)
            if is_elsewhere:
                raise StorageError(self._told(file))

    def _note(self, file: Path) -> bool:
        with os_errors_as(LedgerUnavailable, f"cannot reach the ledger {self._ledger}"):
            found = identity_of(file)
        if found is not None:
            self._opened[file] = found
        return found is not None

    def _told(self, file: Path) -> str:
        if file == self._ledger:
            return (
                f"the ledger {file} was moved, deleted or replaced while clfd had it open;"
                " put it back or start clfd again"
            )
        return (
            f"{file}, a part of the ledger, was moved, deleted or replaced while clfd had it open;"
            " start clfd again, and stop the daemon before you touch the ledger's files"
        )


def missing(ledger: Path) -> LedgerMissing:
    return LedgerMissing(f"there is no ledger at {ledger}; `clfd init` makes one")
