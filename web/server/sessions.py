"""Who may use the page: links that work once, and sessions that they begin.

Both are files in the home, named by the SHA-256 of a secret that only its bearer has, so that they
outlive a page that leaves when it is idle, and that whoever may write in the home can make one. The
owner of a link's file is the author of the labels that come through it.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from storage.errors import StorageError, os_errors_as
from storage.home.atomic_write import write_whole
from storage.home.paths import FILE_MODE, Home, make_folder
from storage.home.safe_open import read_plain
from storage.values.users import user_name

LINK_SECONDS = 600.0
SESSION_SECONDS = 30 * 86_400.0
SECRET_BYTES = 32
MAX_LINKS = 1000  # beyond them something makes links in a loop


@dataclass(frozen=True)
class Session:
    """A person, or a program, that may use the page; the `key` is "" for a proxy's."""

    key: str
    author: str


class Sessions:
    """The links and sessions of a home."""

    def __init__(self, home: Home, now: Callable[[], float] = time.time) -> None:
        self._links, self._sessions = home.web / "links", home.web / "sessions"
        self._home, self._now = home, now

    def new_link(self) -> str:
        """A code that begins one session within ten minutes. Raises StorageError."""
        self._make_folders()
        self._remove_old(self._links, LINK_SECONDS)
        code = secrets.token_urlsafe(SECRET_BYTES)
        self._write(self._links / _key(code), {})
        return code

    def begin(self, code: str) -> tuple[str, Session] | None:
        """The secret of a session, for a code that was not used before; None for any other."""
        link = self._links / _key(code)
        try:
            status = link.stat()
            link.unlink()  # of two at once, one
        except OSError:
            return None
        if self._now() - status.st_mtime > LINK_SECONDS:
            return None
        return self.new_session(user_name(status.st_uid))

    def new_session(self, author: str) -> tuple[str, Session]:
        """For a month. Raises StorageError."""
        self._make_folders()
        self._remove_old(self._sessions, SESSION_SECONDS)
        secret = secrets.token_urlsafe(SECRET_BYTES)
        session = Session(_key(secret), author)
        self._write(self._sessions / session.key, {"author": author})
        return secret, session

    def of(self, secret: str) -> Session | None:
        """The session of a secret, if it goes on."""
        file = self._sessions / _key(secret)
        with suppress(OSError, ValueError, KeyError, TypeError):
            if self._now() - file.stat().st_mtime <= SESSION_SECONDS:
                return Session(file.name, str(json.loads(read_plain(file))["author"]))
        return None

    def end(self, session: Session) -> None:
        """Of one that a proxy vouches for there is nothing here to end."""
        if session.key:
            (self._sessions / session.key).unlink(missing_ok=True)

    def _make_folders(self) -> None:
        self._home.require_made()
        for folder in (self._home.web, self._links, self._sessions):
            make_folder(folder)

    def _write(self, file: Path, facts: dict[str, str]) -> None:
        with os_errors_as(StorageError, f"cannot write {file}", "check the home's permissions"):
            write_whole(file, json.dumps(facts).encode(), FILE_MODE)

    def _remove_old(self, folder: Path, seconds: float) -> None:
        kept = 0
        for entry in os.scandir(folder):
            with suppress(OSError):
                if self._now() - entry.stat().st_mtime > seconds:
                    os.unlink(entry)
                else:
                    kept += 1
        if kept > MAX_LINKS:
            raise StorageError(f"{folder} holds {kept} files; remove them, then try again")


def _key(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
