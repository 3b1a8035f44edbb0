"""All there is about one recording, and where the files of a content lie."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, case, select

from storage.database.tables import inbox, prediction, recording
from storage.queries.filters import Filters, joined
from storage.queries.result import Result, expressions, from_row
from storage.values.decision import DisplayRules

_MAX_COPIES = 20  # that are looked for on the disk
_row = recording.c


class StoredFile(NamedTuple):
    """A file as the ledger knows it: its path in the folder, or, without one, where it went."""

    folder: Path | None
    path: bytes
    fingerprint: str


def recording_with_clips(connection: Connection, id: int, rules: DisplayRules) -> Result | None:
    """Its current answer, with the scores of its clips."""
    filters = Filters(status="all", rules=rules)
    return next(_answers(connection, id, filters, with_clips=True), None)


def history_of(connection: Connection, id: int, rules: DisplayRules) -> list[Result]:
    """An answer for each checkpoint, the first one first."""
    filters = Filters(status="all", history=True, rules=rules)
    return [one for one in _answers(connection, id, filters) if one.label is not None]


def files_with(connection: Connection, digest: str) -> list[StoredFile]:
    """Those of recordings that are still current come first."""
    is_old = case((_row.state == "superseded", 1), else_=0)
    archive = case((_row.archived_at.is_not(None), _row.archive_path))
    query = select(inbox.c.path, _row.path, archive, _row.fingerprint).join(inbox)
    query = query.where(_row.digest == digest).order_by(is_old, _row.id).limit(_MAX_COPIES)
    return [
        StoredFile(None if archived else Path(os.fsdecode(folder)), archived or path, fingerprint)
        for folder, path, archived, fingerprint in connection.execute(query)
    ]


def _answers(
    connection: Connection, id: int, filters: Filters, with_clips: bool = False
) -> Iterator[Result]:
    query = select(*expressions(filters.history, with_clips)).select_from(joined(filters))
    query = query.where(_row.id == id).order_by(prediction.c.classified_at)
    return (from_row(row, filters.rules) for row in connection.execute(query))
