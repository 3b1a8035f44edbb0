"""What the routes work with: the home, its settings and its ledger."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from sqlalchemy import Connection

from storage.database.database import Database, Role
from storage.database.engine import open_database
from storage.errors import StorageError
from storage.home.paths import Home
from storage.settings.loading import load_settings
from storage.settings.schema import Settings
from storage.values.decision import DisplayRules
from web.server.clfd_process import end_all
from web.server.sessions import Session

T = TypeVar("T")


@dataclass(eq=False)
class PageContext:
    """One page of one home."""

    home: Home
    read_only: bool = False
    labels_file: Path | None = None  # that a service learns from, and the page writes
    _databases: dict[Role, Database] = field(default_factory=dict)
    _shared: dict[Callable[[PageContext], Any], Any] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def settings(self) -> Settings:
        """As they are now: a person may have changed them. Raises SettingsError."""
        return load_settings(self.home)

    @property
    def rules(self) -> DisplayRules:
        return self.settings.results.display_rules

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that never writes. Raises StorageError."""
        with self.database("reader").transaction() as connection:
            yield connection

    def database(self, role: Role) -> Database:
        """Kept open; where the ledger was put in place of another, it is opened again."""
        with self._lock:
            database = self._databases.get(role)
            if database is not None:
                try:
                    database.require_in_place()
                    return database
                except StorageError:
                    self._databases.pop(role).close()
            opened = open_database(self.settings.database, role)
            self._databases[role] = opened
            return opened

    def shared(self, make: Callable[[PageContext], T]) -> T:
        """What several requests use, made by the first; with a `close`, it ends with the page."""
        with self._lock:
            if make not in self._shared:
                self._shared[make] = make(self)
            found: T = self._shared[make]
            return found

    def close(self) -> None:
        end_all()
        for one in self._shared.values():
            if hasattr(one, "close"):
                one.close()
        for database in self._databases.values():
            database.close()


def _context(request: Request) -> PageContext:
    context: PageContext = request.app.state.context
    return context


def _author(request: Request) -> str:
    session: Session = request.state.session
    return session.author


Context = Annotated[PageContext, Depends(_context)]
Author = Annotated[str, Depends(_author)]
