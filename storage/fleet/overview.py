"""The daemons of a ledger: who lives, what they do, who reads which inbox."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from storage.database.functions import server_seconds
from storage.database.tables import checkpoint, inbox, lease


@dataclass(frozen=True)
class Member:
    """One start of a daemon: `silent_s` since its last beat; live, late, lost or ended."""

    lease: int
    host: str
    home: str
    pid: int
    version: str
    state: str
    started_at: str
    silent_s: float | None
    lease_seconds: float | None
    checkpoint: str | None
    scans: list[str]
    doing: dict[str, Any]


def members(connection: Connection, n_gone: int = 5) -> list[Member]:
    """All that live, and the last ones that do not, the newest first."""
    names = {row.digest: row.name for row in connection.execute(_CHECKPOINTS)}
    scans = defaultdict(list)
    for by, place, path in connection.execute(_SCANS):
        scans[by].append(place if place.startswith("shared:") else path)
    ahead = (lease.c.lease_until - server_seconds()).label("ahead")
    found, n_left = [], n_gone
    for row in connection.execute(select(lease, ahead).order_by(lease.c.id.desc())):
        state = _state(row)
        n_left -= state in ("lost", "ended")
        if n_left < 0 and state in ("lost", "ended"):
            continue
        silent = None if row.ahead is None else round(max(0.0, row.seconds - row.ahead), 1)
        digest = row.checkpoint_digest
        own = (row.id, row.host, row.home, row.pid, row.version, state, row.started_at)
        served = names.get(digest, digest)
        doing = json.loads(row.status)
        found.append(Member(*own, silent, row.seconds, served, sorted(scans[row.id]), doing))
    return found


_CHECKPOINTS = select(checkpoint.c.digest, checkpoint.c.name)
_SCANS = select(inbox.c.scanned_by, inbox.c.place, inbox.c.path_text).where(
    inbox.c.scanned_by.is_not(None)
)


def _state(row: Any) -> str:
    if row.ended_at is not None:
        return "ended"
    if row.lost_at is not None:
        return "lost"
    return "late" if row.ahead is not None and row.ahead < 0 else "live"


def member_lines(found: Sequence[Member]) -> Iterator[str]:
    """For people, a line each."""
    if not found:
        yield "no daemon has joined this ledger yet; `clfd run` does"
    for one in found:
        heard = "" if one.silent_s is None else f", heard {one.silent_s:.0f} s ago"
        work = ", ".join(f"{name} {value}" for name, value in one.doing.items())
        scans = f"; reads {', '.join(one.scans)}" if one.scans else ""
        serves = f"; serves {one.checkpoint}" if one.checkpoint else ""
        yield f"{one.state:6}{one.host}:{one.home} (pid {one.pid}{heard}) {work}{serves}{scans}"
