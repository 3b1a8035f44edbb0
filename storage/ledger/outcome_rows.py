"""Recordings as outcomes change them: plain objects, and statements to load and write them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import (
    BindParameter,
    Connection,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    union_all,
    update,
)

from storage.database.bulk import (
    ASKED,
    ASKED_DIGEST,
    ASKED_ID,
    PARAMETER,
    chunks,
    contents_of,
    execute_many,
)
from storage.database.functions import found_first
from storage.database.tables import answer_counter, embedding, inbox, prediction, recording
from storage.fleet.inboxes import Inboxes
from storage.ledger.finding_rows import forget_findings, write_findings
from storage.ledger.outcomes import AudioFacts, Outcome, Scored
from storage.ledger.tallies import TallyKey
from storage.values.text import printable_path
from storage.values.timestamps import choose_recorded_at, moment_in_name

PredictionKey = tuple[int, int]  # recording, checkpoint
Changes = dict[str, object]  # by column


class StoredAnswer(NamedTuple):
    """A stored prediction; the recording keeps a copy of all but the scores."""

    id: int
    checkpoint_id: int
    label: str
    confidence: float
    scoring: str | None


@dataclass
class RecordingRow:
    """The columns of a recording that an outcome reads or changes."""

    id: int
    inbox_id: int
    path: bytes
    fingerprint: str
    size_bytes: int
    digest: str | None
    state: str
    attempts: int
    claimed_by: str | None
    claimed_at: str | None
    requeued: str | None
    requeued_at: str | None
    error_class: str | None
    error: str | None
    warning: str | None
    duration_s: float | None
    sample_rate_hz: int | None
    channels: int | None
    rms_dbfs: float | None
    peak_dbfs: float | None
    clipped: float | None
    recorded_at: str | None
    recorder: str | None
    prediction_id: int | None
    answered_at: str | None
    retry_after: str | None
    archive_path: bytes | None
    archive_path_text: str | None
    archived_at: str | None
    label: str | None
    confidence: float | None
    checkpoint_id: int | None
    first_seen_at: str
    answer_number: int | None
    answered_by: int | None

    @property
    def mark(self) -> TallyKey:
        moment = self.answered_at or self.first_seen_at
        answer = (self.label, self.checkpoint_id)
        return TallyKey(self.state, moment, *answer, self.inbox_id, self.path)

    @property
    def file(self) -> tuple[int, bytes]:
        return self.inbox_id, self.path

    def leave_queue(self) -> None:
        self.claimed_by = self.claimed_at = self.requeued = self.requeued_at = None
        self.retry_after = None

    def give_attempt_back(self) -> None:
        self.claimed_by = self.claimed_at = None
        self.attempts = max(0, self.attempts - 1)

    def take(self, answer: StoredAnswer) -> None:
        self.prediction_id, self.checkpoint_id, self.label, self.confidence, _ = answer

    def describe(self, facts: AudioFacts) -> None:
        self.digest = facts.digest
        self.duration_s = facts.duration_s
        self.sample_rate_hz = facts.sample_rate_hz
        self.channels = facts.channels
        self.rms_dbfs, self.peak_dbfs = facts.rms_dbfs, facts.peak_dbfs
        self.clipped = facts.clipped
        self.recorder = facts.recorder
        self.recorded_at = choose_recorded_at(
            facts.recorded_at, moment_in_name(printable_path(self.path))
        )


_COLUMNS = [recording.c[field.name] for field in fields(RecordingRow)]


def inbox_folders(connection: Connection, inboxes: Inboxes) -> dict[int, bytes]:
    """Of this machine."""
    rows = connection.execute(select(inbox.c.id, inbox.c.place, inbox.c.path))
    return {id: os.fsencode(inboxes.local(place, path)) for id, place, path in rows}


_wanted = recording.alias("wanted")
_same_file = and_(recording.c.inbox_id == _wanted.c.inbox_id, recording.c.path == _wanted.c.path)
_asked: BindParameter[int] = bindparam("ids", expanding=True)
# A file that is written again every minute has half a million versions after a year: those that
# matter are found by an index each. Made once: to make them takes longer than to ask them.
_CONCERNED = union_all(
    select(*_COLUMNS).where(recording.c.id.in_(_asked)),
    select(*_COLUMNS)
    .join_from(_wanted, recording, _same_file)
    .where(_wanted.c.id.in_(_asked), text("recording.state IN ('done', 'failed')")),
    select(*_COLUMNS)
    .select_from(ASKED)
    .join(_wanted, _wanted.c.id == ASKED_ID)
    .join(recording, and_(_same_file, recording.c.digest == ASKED_DIGEST)),
)


# On a server a statement with joins may begin at the wrong end, as long as its figures of a new
# ledger are old: so paths are asked for first. Finds the same, and versions of other files.
_paths = select(func.sha256(_wanted.c.path)).where(_wanted.c.id.in_(_asked)).scalar_subquery()
_digests = select(ASKED_DIGEST).scalar_subquery()
_has_path = found_first(func.sha256(recording.c.path), _paths)
_CONCERNED_ON_SERVER = union_all(
    select(*_COLUMNS).where(recording.c.id.in_(_asked)),
    select(*_COLUMNS).where(_has_path, text("recording.state IN ('done', 'failed')")),
    select(*_COLUMNS).where(_has_path, found_first(recording.c.digest, _digests)),
)


def rows_concerned(
    connection: Connection, outcomes: Sequence[Outcome], leaders: Sequence[int]
) -> dict[int, RecordingRow]:
    """The recordings, the current versions of their files, and versions of the same content."""
    asked = [(outcome.recording_id, getattr(outcome, "digest", None)) for outcome in outcomes]
    found: dict[int, RecordingRow] = {}
    for some in chunks([*asked, *((leader, None) for leader in leaders)]):
        values = {"ids": [id for id, _ in some], PARAMETER: contents_of(some)}
        on_server = connection.dialect.name != "sqlite"
        rows = connection.execute(_CONCERNED_ON_SERVER if on_server else _CONCERNED, values)
        found.update((row.id, RecordingRow(*row)) for row in rows)
    return found


_ANSWER = (prediction.c.recording_id, *(prediction.c[name] for name in StoredAnswer._fields))


def predictions_of(connection: Connection, ids: Sequence[int]) -> dict[PredictionKey, StoredAnswer]:
    found: dict[PredictionKey, StoredAnswer] = {}
    for some in chunks(ids):
        query = select(*_ANSWER).where(prediction.c.recording_id.in_(some))
        for recording_id, *answer in connection.execute(query):
            found[recording_id, answer[1]] = StoredAnswer(*answer)
    return found


_ADD_PREDICTIONS = insert(prediction)


def insert_predictions(
    connection: Connection, new: dict[PredictionKey, Scored], now: str
) -> dict[PredictionKey, StoredAnswer]:
    if not new:
        return {}
    # Nobody else writes in this transaction, and asking for the numbers row by row takes longer.
    first = (connection.scalar(select(func.max(prediction.c.id))) or 0) + 1
    values = [
        {"id": number, "recording_id": recording_id} | _prediction_values(scored, now)
        for number, ((recording_id, _), scored) in enumerate(new.items(), first)
    ]
    execute_many(connection, _ADD_PREDICTIONS, values)
    write_findings(connection, enumerate(new.values(), first))
    _write_embeddings(connection, enumerate(new.values(), first))
    return {key: _stored(number, scored) for number, (key, scored) in enumerate(new.items(), first)}


_REPLACE_PREDICTION = update(prediction).where(prediction.c.id == bindparam("old_id"))


def replace_predictions(
    connection: Connection, new: dict[PredictionKey, tuple[StoredAnswer, Scored]], now: str
) -> dict[PredictionKey, StoredAnswer]:
    """In place of what the same checkpoint answered under other settings."""
    values = [{"old_id": old.id} | _prediction_values(scored, now) for old, scored in new.values()]
    for old, scored in new.values():
        forget_findings(connection, scored.digest, old.id)
        connection.execute(delete(embedding).where(embedding.c.prediction_id == old.id))
    execute_many(connection, _REPLACE_PREDICTION, values)
    write_findings(connection, ((old.id, scored) for old, scored in new.values()))
    _write_embeddings(connection, ((old.id, scored) for old, scored in new.values()))
    return {key: _stored(old.id, scored) for key, (old, scored) in new.items()}


def _prediction_values(scored: Scored, now: str) -> dict[str, object]:
    return {
        "checkpoint_id": scored.checkpoint_id,
        "label": scored.label,
        "confidence": scored.confidence,
        "scores": scored.scores,
        "clip_scores": scored.clip_scores,
        "clip_seconds": scored.clip_seconds,
        "clip_hop_seconds": scored.clip_hop_seconds,
        "classified_at": now,
        "scoring": scored.scoring,
        "novelty": scored.novelty,
    }


_ADD_EMBEDDINGS = insert(embedding)


def _write_embeddings(connection: Connection, written: Iterable[tuple[int, Scored]]) -> None:
    """Those that are to be kept, of predictions by their ids."""
    values: list[dict[str, object]] = [
        {"prediction_id": prediction_id, "features": scored.embeddings}
        for prediction_id, scored in written
        if scored.embeddings is not None
    ]
    execute_many(connection, _ADD_EMBEDDINGS, values)


def _stored(number: int, scored: Scored) -> StoredAnswer:
    answer = (scored.checkpoint_id, scored.label, scored.confidence, scored.scoring)
    return StoredAnswer(number, *answer)


_SHARING = select(*_COLUMNS).where(
    recording.c.digest == bindparam("digest"), recording.c.prediction_id == bindparam("shared")
)


def rows_sharing(
    connection: Connection, digest: str | None, prediction_id: int
) -> list[RecordingRow]:
    """The recordings that have a prediction as their answer; only those of its content can."""
    rows = connection.execute(_SHARING, {"digest": digest, "shared": prediction_id})
    return [RecordingRow(*row) for row in rows]


_TAKE_NUMBERS = (
    update(answer_counter)
    .values(newest=answer_counter.c.newest + bindparam("n_answers"))
    .returning(answer_counter.c.newest)
)


def take_answer_numbers(connection: Connection, n_answers: int) -> range:
    """The next ones."""
    newest = connection.execute(_TAKE_NUMBERS, {"n_answers": n_answers}).scalar_one()
    return range(newest - n_answers + 1, newest + 1)


def delete_rows(connection: Connection, rows: Iterable[RecordingRow]) -> None:
    for some in chunks([row.id for row in rows]):
        connection.execute(delete(recording).where(recording.c.id.in_(some)))


_UPDATE = update(recording).where(recording.c.id == bindparam("row_id"))


def update_rows(connection: Connection, rows: Iterable[tuple[RecordingRow, Changes]]) -> None:
    """In the order given, those that change in the same columns in one go."""
    for names, some in groupby(rows, key=lambda row: tuple(row[1])):
        if names:
            values = [changes | {"row_id": row.id} for row, changes in some]
            execute_many(connection, _UPDATE, values)
