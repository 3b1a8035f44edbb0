"""`/status` and `/fleet`: what `clfd status` says, of this daemon and of all of the ledger."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

from fastapi import APIRouter

from storage.fleet.overview import Member, members
from storage.queries.daemon_status import Status, status_of
from web.server.context import Context, PageContext

router = APIRouter(tags=["status"])

FRESH_SECONDS = 0.5  # whoever asks meanwhile gets the same: a page may be open many times


class _Newest:
    """Made once for all who ask at a time."""

    def __init__(self, context: PageContext) -> None:
        self._context, self._lock = context, threading.Lock()
        self._at, self._status = -FRESH_SECONDS, Status()

    def status(self) -> Status:
        with self._lock:
            if time.monotonic() - self._at > FRESH_SECONDS:
                home, database = self._context.home, self._context.settings.database
                self._status = status_of(home, database, datetime.now(UTC))
                self._at = time.monotonic()
            return self._status


@router.get("/status")
def status(context: Context) -> Status:
    """Whether a daemon runs and how much it has to do: the keys of `clfd status --json`."""
    return context.shared(_Newest).status()


@router.get("/fleet")
def fleet(context: Context) -> list[Member]:
    """The daemons of a ledger on a server, as `clfd status --fleet --json`; of a file none."""
    with context.reading() as connection:
        return [one for one in members(connection) if one.lease_seconds is not None]
