"""Finds an earlier answer for the same file or the same content."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, and_, bindparam, select

from storage.database.bulk import ASKED, ASKED_DIGEST, ASKED_ID, PARAMETER, chunks, contents_of
from storage.database.tables import prediction, recording

AnswerLookup = tuple[int, str, int]  # recording id, digest, checkpoint id

_row = recording.c
_me = recording.alias("me")
# Made once: to make them takes ten times as long as to ask them.
_same_file = and_(_row.inbox_id == _me.c.inbox_id, _row.path == _me.c.path)
_ANSWERED_VERSIONS = (
    select(_me.c.id, _row.digest, _row.id)
    .select_from(ASKED)
    .join(_me, _me.c.id == ASKED_ID)
    .join(recording, and_(_same_file, _row.digest == ASKED_DIGEST))
    # Not itself: a rescore asks for a new answer although it has one.
    .where(_row.id != _me.c.id, _row.prediction_id.is_not(None))
)
_SEEN = select(_row.digest).where(_row.digest.in_(bindparam("digests", expanding=True)))
# For one content at a time, since a thousand names of it may stand before the first that is scored
# under another checkpoint, and the rest need not be looked at.
_FIRST_SCORED = (
    select(_row.id)
    .join(prediction, prediction.c.recording_id == _row.id)
    .where(_row.digest == bindparam("digest"))
    .where(prediction.c.checkpoint_id == bindparam("checkpoint_id"))
    .order_by(_row.id)
    .limit(1)
)
_FIRST_SCORED_SO = _FIRST_SCORED.where(prediction.c.scoring == bindparam("scoring"))


def known_answers(
    connection: Connection,
    lookups: Sequence[AnswerLookup],
    link: bool,
    scoring: str | None = None,
) -> list[int | None]:
    """See `Ledger.known_answers`."""
    own: dict[tuple[int, str], int] = {}  # by recording and digest
    seen: set[str | None] = set()
    for some in chunks(lookups):
        versions = {PARAMETER: contents_of((id, digest) for id, digest, _ in some)}
        rows = connection.execute(_ANSWERED_VERSIONS, versions)
        own |= {(of, digest): version for of, digest, version in rows}
        seen |= _seen_digests(connection, some)
    query = _FIRST_SCORED if scoring is None else _FIRST_SCORED_SO
    wanted = {} if scoring is None else {"scoring": scoring}
    first = {
        (digest, checkpoint_id): connection.scalar(
            query, {"digest": digest, "checkpoint_id": checkpoint_id} | wanted
        )
        for digest, checkpoint_id in {each[1:] for each in lookups if link and each[1] in seen}
    }
    return [own.get(each[:2], first.get(each[1:])) for each in lookups]


def _seen_digests(connection: Connection, lookups: Sequence[AnswerLookup]) -> set[str | None]:
    """The digests that some recording may have: all of them where that takes long to find out."""
    digests = [digest for _, digest, _ in lookups]
    max_rows = 2 * len(digests)
    found = connection.scalars(_SEEN.limit(max_rows), {"digests": digests}).all()
    return set(found if len(found) < max_rows else digests)
