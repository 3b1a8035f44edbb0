"""The ledger's indexes: each for a question that is asked, as a test of the plans holds.

Apart from the tables, since whoever reads has no use for their words, which would load what
knows the other databases.
"""

from __future__ import annotations

from sqlalchemy import Column, Index, func, text

from storage.database.tables import (
    human_label,
    is_archiving,
    is_queued,
    label_event,
    metadata,
    recording,
)

__all__ = ["metadata"]


def _partial(name: str, *columns: Column[object], where: str, unique: bool = False) -> Index:
    return Index(
        name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where)
    )


_row = recording.c
# Those that hold a whole path: a server has others, see `postgresql_schema`.
for _index in (
    _partial(
        "uq_recording_provisional", _row.inbox_id, _row.path, where="digest IS NULL", unique=True
    ),
    _partial(
        "uq_recording_current",  # of all content versions of a file, one answer is the current one
        _row.inbox_id,
        _row.path,
        where="state IN ('done', 'failed')",
        unique=True,
    ),
    _partial("ix_recording_archive_path", _row.archive_path, where="archived_at IS NOT NULL"),
):
    _index.ddl_if(dialect="sqlite")
_partial("ix_recording_queue", _row.requeued, _row.id, where=is_queued)
_partial("ix_recording_archiving", _row.id, where=is_archiving)
# For lists in order of time and for counts: the filters are decided without the row.
_answer = (_row.confidence, _row.checkpoint_id)
Index("ix_recording_answer", _row.state, _row.answered_at, _row.label, *_answer)
# For lists of all states in order of time, which would sort the whole ledger.
Index("ix_recording_moment", func.coalesce(_row.answered_at, _row.first_seen_at))
Index("ix_recording_confidence", _row.confidence)
Index("ix_recording_digest", _row.digest)
_partial("ix_recording_answer_number", _row.answer_number, where="answer_number IS NOT NULL")
_partial("ix_recording_recorded", _row.recorded_at, where="recorded_at IS NOT NULL")
Index("ix_human_label_author", human_label.c.author)
Index("ix_label_event_digest", label_event.c.digest, label_event.c.start_s, label_event.c.end_s)
