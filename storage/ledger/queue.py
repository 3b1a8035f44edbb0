"""The queue: what waits for an answer, in which order, and who works on it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    exists,
    or_,
    select,
    text,
    update,
)

from storage.database.bulk import AT_PATHS, at_paths, chunks
from storage.database.tables import PATH_INDEX, inbox, is_queued, recording
from storage.fleet.inboxes import ALONE, Inboxes
from storage.ledger.outcomes import Claim
from storage.values.timestamps import later

# A stamp further ahead than any wait was made by a clock that has been set back since.
MAX_WAIT_SECONDS = 3600.0
_row = recording.c
_RELEASED: dict[str, Any] = {
    "claimed_by": None,
    "claimed_at": None,
    "attempts": case((_row.attempts > 0, _row.attempts - 1), else_=0),
}
_newer = recording.alias("newer")
# What was queued again has been replaced meanwhile: the newer version is scored in its place.
_IS_NEWEST = ~exists().where(
    _newer.c.inbox_id == _row.inbox_id,
    _newer.c.path == _row.path,
    _newer.c.digest.is_(None),
    _newer.c.id != _row.id,
)
# A person waits for a retry; a rescore has an answer already.
_QUEUE: dict[str, ColumnElement[bool]] = {
    "retry": and_(_row.requeued == "retry", _IS_NEWEST),
    "new": and_(_row.state == "pending", _row.requeued.is_(None)),
    "rescore": and_(_row.requeued == "rescore", _IS_NEWEST),
}
IS_WORK = and_(text(f"({is_queued})"), _row.fingerprint != "")
# Not one that was postponed and whose wait is not over.
_IS_DUE = or_(
    _row.retry_after.is_(None),
    _row.retry_after <= bindparam("now"),
    _row.retry_after > bindparam("latest"),
)


# Put together once: that takes SQLAlchemy as long as running them, and a file waits for it.
_UNCLAIMED_OF = {
    purpose: select(
        _row.id,
        inbox.c.path,
        _row.path,
        _row.fingerprint,
        _row.size_bytes,
        _row.attempts,
        case((_row.archived_at.is_not(None), _row.archive_path)),
        inbox.c.place,
    )
    .join(inbox)
    .where(is_queued_so, IS_WORK, _row.claimed_by.is_(None), _IS_DUE)
    .where(_row.attempts.between(bindparam("fewest"), bindparam("most")))
    .where(_row.id.not_in(bindparam("moving", expanding=True)))
    .order_by(_row.requeued, _row.id)  # as the index of the queue has them
    .limit(bindparam("room"))
    .with_for_update(of=recording, skip_locked=True)
    for purpose, is_queued_so in _QUEUE.items()
}
_IS_HERE = inbox.c.place.in_(bindparam("places", expanding=True))
_UNCLAIMED_HERE = {purpose: query.where(_IS_HERE) for purpose, query in _UNCLAIMED_OF.items()}


def claim(
    connection: Connection,
    claimant: str,
    limit: int,
    attempts: tuple[int, int],
    moving: Collection[int],
    now: str,
    inboxes: Inboxes,
) -> list[Claim]:
    """Take up to `limit` recordings with so many attempts, from the fewest to the most."""
    claims: list[Claim] = []
    fewest, most = attempts
    values: dict[str, object] = {"fewest": fewest, "most": most, "moving": list(moving)}
    values |= {"now": now, "latest": later(now, MAX_WAIT_SECONDS)}
    queries = _UNCLAIMED_OF
    if inboxes != ALONE:
        queries, values = _UNCLAIMED_HERE, values | {"places": inboxes.places}
    for purpose, query in queries.items():
        if len(claims) < limit:
            found = connection.execute(query, values | {"room": limit - len(claims)}).all()
            folders = {(row[-1], row[1]) for row in found}
            local = {folder: inboxes.local(*folder) for folder in folders}
            claims += [
                Claim(
                    id,
                    local[place, folder],
                    path,
                    inboxes.fingerprint(local[place, folder], fingerprint),
                    size,
                    n_before + 1,
                    purpose,
                    archive_path,
                )
                for id, folder, path, fingerprint, size, n_before, archive_path, place in found
            ]
    claimed = {"claimed_by": claimant, "claimed_at": now, "attempts": _row.attempts + 1}
    _update(connection, [claim.recording_id for claim in claims], claimed)
    return claims


def queued(connection: Connection, inbox_id: int | None, paths: Sequence[bytes]) -> set[bytes]:
    """Those of the paths in an inbox that wait in the queue already."""
    found: set[bytes] = set()
    query = select(_row.path).where(AT_PATHS, IS_WORK)
    query = query.with_hint(recording, f"INDEXED BY {PATH_INDEX}", "sqlite")
    for asked in at_paths(connection, inbox_id, paths):
        found.update(connection.scalars(query, asked))
    return found


def has_work(connection: Connection, inboxes: Inboxes) -> bool:
    """Whether files that this machine sees are queued, whoever has claimed them."""
    work = select(_row.id).where(IS_WORK)
    if inboxes != ALONE:
        work = work.join(inbox).where(inbox.c.place.in_(inboxes.places))
    return bool(connection.scalar(select(work.exists())))


def oldest_pending(connection: Connection) -> str | None:
    """When the recording that has been pending longest was first seen."""
    # The queue's index holds new recordings in the order in which they were seen.
    oldest = select(_row.first_seen_at).where(text(f"({is_queued})"), _row.requeued.is_(None))
    return connection.scalar(oldest.order_by(_row.id).limit(1))


def last_failure(connection: Connection, now: str) -> tuple[str, str, str] | None:
    """Path, reason and time of the newest failure; a stamp of the future hides no later one."""
    failures = select(_row.path_text, _row.error, _row.answered_at).where(_row.state == "failed")
    failures = failures.where(_row.answered_at <= later(now, MAX_WAIT_SECONDS))
    newest = failures.order_by(_row.answered_at.desc(), _row.id.desc()).limit(1)
    row = connection.execute(newest).first()
    return None if row is None else (row.path_text, row.error, row.answered_at)


def release(connection: Connection, recording_ids: Sequence[int], claimant: str | None) -> None:
    """Give claimed work back unread; the attempt does not count."""
    _update(connection, recording_ids, _RELEASED, _is_claimed_by(claimant))


def release_of(connection: Connection, claimant: str, claimed_at: str) -> None:
    """As `release`, what was claimed at one moment."""
    claimed = and_(text(f"({is_queued})"), _row.claimed_by == claimant)
    released = update(recording).where(claimed, _row.claimed_at == claimed_at)
    connection.execute(released.values(_RELEASED))


def give_attempts_back(connection: Connection, recording_ids: Sequence[int]) -> None:
    """Of what others have by now; their own attempt stays."""
    least = case((_row.claimed_by.is_(None), 0), else_=1)
    values = {"attempts": _row.attempts - 1}
    is_counted = and_(text(f"({is_queued})"), _row.attempts > least)
    _update(connection, recording_ids, values, is_counted)


def _is_claimed_by(claimant: str | None) -> ColumnElement[bool]:
    return _row.claimed_by.is_not(None) if claimant is None else _row.claimed_by == claimant


def requeue_failed(connection: Connection, patterns: Sequence[bytes] | None, now: str) -> int:
    """See `Ledger.requeue_failed`."""
    query = select(_row.id, inbox.c.path, _row.path).join(inbox).where(_row.state == "failed")
    ids = [
        row_id
        for row_id, folder, path in connection.execute(query)
        if patterns is None or any(_names(pattern, folder, path) for pattern in patterns)
    ]
    retry_rows(connection, ids, now)
    return len(ids)


def retry_rows(connection: Connection, recording_ids: Sequence[int], now: str) -> None:
    """Queue these, which failed, again."""
    _update(connection, recording_ids, again("retry", now), _row.state == "failed")


def again(purpose: Literal["retry", "rescore"], now: str) -> dict[str, object]:
    """What queues a recording again, with all its attempts."""
    return {"requeued": purpose, "requeued_at": now, "attempts": 0, "retry_after": None}


def _names(pattern: bytes, folder: bytes, path: bytes) -> bool:
    wanted = pattern.rstrip(b"/")
    file = folder + b"/" + path if wanted.startswith(b"/") else path
    # The name itself comes first: `take[1].wav` is also a glob, for another file.
    return file == wanted or file.startswith(wanted + b"/") or fnmatchcase(file, wanted)


def _update(
    connection: Connection,
    ids: Sequence[int],
    values: Mapping[str, object],
    *where: ColumnElement[bool],
) -> None:
    for some in chunks(ids):
        connection.execute(update(recording).where(_row.id.in_(some), *where).values(dict(values)))
