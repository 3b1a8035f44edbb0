"""How outcomes change recordings: the rules first, as plain objects, then a few bulk statements.

Of all content versions of a file at most one is current (done or failed); a touched file, or
content that came back, is folded into the row that knows its digest.
"""

from __future__ import annotations

from collections import defaultdict
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
from storage.database.tables import inbox, prediction, recording
from storage.ledger.archive_moves import ArchivePlan
from storage.ledger.counters import CounterMark, CounterMismatch
from storage.ledger.outcomes import AudioFacts, Changed, Failed, Linked, Outcome, Postponed, Scored
from storage.values.recorded_at import began_at, moment_in_name
from storage.values.text import printable, printable_path
from storage.values.timestamps import later

RESCORING_FAILED = "rescoring failed: "  # begins the warning of a recording that kept its answer
# A file that was gone is news when it is back, also in a folder that was moved away and returns,
# or on a disk that was unmounted: then `stat` says the same of it as before.
GONE = "gone"

PredictionKey = tuple[int, int]  # recording, checkpoint
Changes = dict[str, object]  # by column


class _Answer(NamedTuple):
    """A prediction that is stored; the row it answers keeps a copy of all but scores."""

    id: int
    checkpoint_id: int
    label: str
    confidence: float


@dataclass
class _Row:
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

    @property
    def mark(self) -> CounterMark:
        moment = self.answered_at or self.first_seen_at
        answer = (self.label, self.checkpoint_id)
        return CounterMark(self.state, moment, *answer, self.inbox_id, self.path)

    @property
    def file(self) -> tuple[int, bytes]:
        return self.inbox_id, self.path

    def leave_queue(self) -> None:
        self.claimed_by = self.claimed_at = self.requeued = self.requeued_at = None
        self.retry_after = None

    def give_attempt_back(self) -> None:
        self.claimed_by = self.claimed_at = None
        self.attempts = max(0, self.attempts - 1)

    def take(self, answer: _Answer) -> None:
        self.prediction_id, self.checkpoint_id, self.label, self.confidence = answer

    def describe(self, facts: AudioFacts) -> None:
        self.digest = facts.digest
        self.duration_s = facts.duration_s
        self.sample_rate_hz = facts.sample_rate_hz
        self.channels = facts.channels
        self.rms_dbfs, self.peak_dbfs = facts.rms_dbfs, facts.peak_dbfs
        self.clipped = facts.clipped
        self.recorded_at = began_at(facts.recorded_at, moment_in_name(printable_path(self.path)))


_COLUMNS = [recording.c[field.name] for field in fields(_Row)]


def apply_outcomes(
    connection: Connection,
    outcomes: Sequence[Outcome],
    now: str,
    archive: ArchivePlan | None = None,
) -> None:
    """Write what came of the work, inside the caller's transaction. Outcomes must be checked.

    With an archive, the place of a recording that is done now is written with its answer.

    An outcome whose recording is gone or superseded changes no answer. A link whose leader has no
    prediction (any more) goes back to the queue.
    """
    leaders = [outcome.leader_id for outcome in outcomes if isinstance(outcome, Linked)]
    rows = _rows_concerned(connection, outcomes, leaders)
    book = _Book(rows, _predictions_of(connection, [*rows, *leaders]), now)
    if archive is not None:
        book.archive, book.folders = archive, _folders(connection)
    for outcome in outcomes:
        book.enter(outcome)
    book.write(connection)


class _Book:
    """The rows an outcome may touch, the predictions they have, and what is to be written."""

    def __init__(
        self, rows: dict[int, _Row], predictions: dict[PredictionKey, _Answer], now: str
    ) -> None:
        self._rows = rows
        self._marks = {row.id: row.mark for row in rows.values()}
        self._before = {row.id: vars(row).copy() for row in rows.values()}
        self._predictions = predictions
        self._now = now
        self.archive: ArchivePlan | None = None
        self.folders: dict[int, bytes] = {}  # of the inboxes, by id
        self._new_predictions: dict[PredictionKey, Scored] = {}
        self._links_to_new: list[tuple[_Row, PredictionKey]] = []
        self._copies: list[tuple[_Row, Linked]] = []
        self._targets: dict[int, int] = {}  # of rows that were folded into others
        self._folded: list[_Row] = []
        self._changed: dict[int, _Row] = {}
        self._versions: dict[tuple[int, bytes], list[_Row]] = defaultdict(list)
        for row in rows.values():
            self._versions[row.file].append(row)

    def enter(self, outcome: Outcome) -> None:
        row = self._rows.get(outcome.recording_id)
        if row is None:
            return
        self._changed[row.id] = row
        if row.state == "superseded":
            row.leave_queue()
        elif isinstance(outcome, Changed):
            self._rest(row)
        elif isinstance(outcome, Postponed):
            row.claimed_by = row.claimed_at = None
            row.retry_after = later(self._now, outcome.wait_seconds)
        else:
            self._enter_read(outcome, row)

    def _enter_read(self, outcome: Scored | Linked | Failed, row: _Row) -> None:
        target = self._target(row, outcome.digest)
        if target is None:
            self._rest(row)
        elif _keeps_answer(target, row):
            self._keep(target, row)
        elif self._leads_nowhere(outcome):
            row.give_attempt_back()
        else:
            self._answer(target, row, outcome)

    def _target(self, row: _Row, digest: str | None) -> _Row | None:
        """The row of this content; None when `row` is known to be of other content."""
        if digest is None or row.digest == digest:
            return row
        if row.digest is not None:
            return None
        same = (other for other in self._versions[row.file] if other.digest == digest)
        return next(same, row)

    def _rest(self, row: _Row) -> None:
        """Out of the queue until a scan admits the file as it is then."""
        if row.state == "pending":
            self._remove(row)
            return
        if row.archived_at is not None:  # no scan will
            row.leave_queue()
            row.warning = f"{RESCORING_FAILED}{row.archive_path_text} is not what was archived"
            return
        row.give_attempt_back()
        row.fingerprint = ""

    def _keep(self, target: _Row, row: _Row) -> None:
        if target is row:
            row.leave_queue()
            return
        self._fold(row, target)
        if target.state == "superseded":
            target.state, target.answered_at = "done", self._now
            self._supersede_others(target)

    def _answer(self, target: _Row, row: _Row, outcome: Scored | Linked | Failed) -> None:
        if target is not row:
            self._fold(row, target)
        if isinstance(outcome, Failed):
            self._fail(target, outcome)
        else:
            self._finish(target, outcome)
        target.leave_queue()
        self._supersede_others(target)

    def _fail(self, target: _Row, outcome: Failed) -> None:
        if target.state == "done":  # a rescore; the answer that is there stays
            target.warning = printable(f"{RESCORING_FAILED}{outcome.error}")
            return
        target.state, target.answered_at = "failed", self._now
        if outcome.error_class == "vanished":
            target.fingerprint = GONE
        target.digest = outcome.digest or target.digest
        target.error_class = printable(outcome.error_class)
        target.error = printable(outcome.error)

    def _finish(self, target: _Row, outcome: Scored | Linked) -> None:
        target.state, target.answered_at = "done", self._now
        target.error_class = target.error = target.warning = None
        target.describe(outcome.facts)
        self._plan_move(target)
        if isinstance(outcome, Linked):
            self._link(target, self._leader_key(outcome))
            target.warning = self._warning_of(outcome)
            self._copies.append((target, outcome))
            return
        target.warning = None if outcome.warning is None else printable(outcome.warning)
        key = (target.id, outcome.checkpoint_id)
        if key in self._predictions:
            target.take(self._predictions[key])
        else:
            self._new_predictions[key] = outcome

    def _plan_move(self, target: _Row) -> None:
        """Unless it lies in the archive, or is on its way there."""
        if self.archive is None or target.archive_path is not None:
            return
        place = self.archive.place(self.folders[target.inbox_id], target.path)
        if place is not None:
            target.archive_path, target.archive_path_text = place, printable_path(place)

    def _level_copies(self) -> None:
        """As loud as what they are copies of, since of a copy only the beginning is listened to.

        After all outcomes: one that comes later may be the other's.
        """
        for copy, outcome in self._copies:
            if leader := self._rows.get(self._leader_key(outcome)[0]):
                copy.rms_dbfs, copy.peak_dbfs = leader.rms_dbfs, leader.peak_dbfs
                copy.clipped = leader.clipped

    def _link(self, target: _Row, leader: PredictionKey) -> None:
        if leader in self._predictions:
            target.take(self._predictions[leader])
        else:
            self._links_to_new.append((target, leader))

    def _warning_of(self, outcome: Linked) -> str | None:
        """What is wrong with the leader's content is wrong with a copy of it."""
        leader = self._rows.get(self._leader_key(outcome)[0])
        warning = leader.warning if leader else None
        return None if warning and warning.startswith(RESCORING_FAILED) else warning

    def _leader_key(self, outcome: Linked) -> PredictionKey:
        leader_id = self._targets.get(outcome.leader_id, outcome.leader_id)
        return leader_id, outcome.checkpoint_id

    def _leads_nowhere(self, outcome: Outcome) -> bool:
        if not isinstance(outcome, Linked):
            return False
        key = self._leader_key(outcome)
        return key not in self._predictions and key not in self._new_predictions

    def _fold(self, row: _Row, target: _Row) -> None:
        target.fingerprint, target.size_bytes = row.fingerprint, row.size_bytes
        target.archived_at = None  # it came back, and goes where it was before
        if self.archive is None:
            target.archive_path = target.archive_path_text = None
        self._changed[target.id] = target
        self._targets[row.id] = target.id
        self._remove(row)

    def _remove(self, row: _Row) -> None:
        self._folded.append(row)
        self._changed.pop(row.id, None)
        self._rows.pop(row.id)
        self._versions[row.file].remove(row)

    def _supersede_others(self, target: _Row) -> None:
        for other in self._versions[target.file]:
            if other is not target and other.state in ("done", "failed"):
                other.state = "superseded"
                other.leave_queue()
                self._changed[other.id] = other

    def write(self, connection: Connection) -> None:
        """Predictions before the rows that name them, old versions before the new current one."""
        written = _insert_predictions(connection, self._new_predictions, self._now)
        for (recording_id, _), answer in written.items():
            self._rows[recording_id].take(answer)
        for row, leader in self._links_to_new:
            row.take(written[leader])
        self._level_copies()
        _delete_rows(connection, self._folded)
        changed = [(row, self._changes(row)) for row in self._changed.values()]
        changed.sort(key=lambda item: (item[0].state != "superseded", tuple(item[1])))
        _update_rows(connection, changed)
        self._difference().write(connection)

    def _changes(self, row: _Row) -> Changes:
        """What to write: a column that is written has its indexes written, changed or not."""
        before = self._before[row.id]
        return {name: value for name, value in vars(row).items() if value != before[name]}

    def _difference(self) -> CounterMismatch:
        difference = CounterMismatch()
        for row in self._folded:
            difference.count(self._marks[row.id], -1)
        for row in self._changed.values():
            difference.move(self._marks[row.id], row.mark)
        return difference


def _keeps_answer(target: _Row, row: _Row) -> bool:
    """`done` is never answered again, unless this very row was queued for it."""
    if target is not row:
        return target.prediction_id is not None
    return row.state == "done" and row.requeued != "rescore"


# --- statements


def _folders(connection: Connection) -> dict[int, bytes]:
    return {row.id: row.path for row in connection.execute(select(inbox.c.id, inbox.c.path))}


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


def _rows_concerned(
    connection: Connection, outcomes: Sequence[Outcome], leaders: Sequence[int]
) -> dict[int, _Row]:
    """The recordings, the current versions of their files, and versions of the same content."""
    asked = [(outcome.recording_id, getattr(outcome, "digest", None)) for outcome in outcomes]
    found: dict[int, _Row] = {}
    for some in chunks([*asked, *((leader, None) for leader in leaders)]):
        values = {"ids": [id for id, _ in some], PARAMETER: contents_of(some)}
        rows = connection.execute(_CONCERNED, values)
        found.update((row.id, _Row(*row)) for row in rows)
    return found


_ANSWER = (prediction.c.recording_id, *(prediction.c[name] for name in _Answer._fields))


def _predictions_of(connection: Connection, ids: Sequence[int]) -> dict[PredictionKey, _Answer]:
    found: dict[PredictionKey, _Answer] = {}
    for some in chunks(ids):
        query = select(*_ANSWER).where(prediction.c.recording_id.in_(some))
        for recording_id, *answer in connection.execute(query):
            found[recording_id, answer[1]] = _Answer(*answer)
    return found


_ADD_PREDICTIONS = insert(prediction)


def _insert_predictions(
    connection: Connection, new: dict[PredictionKey, Scored], now: str
) -> dict[PredictionKey, _Answer]:
    if not new:
        return {}
    # Nobody else writes in this transaction, and to be told the numbers row by row takes longer.
    first = (connection.scalar(select(func.max(prediction.c.id))) or 0) + 1
    values = [
        {
            "id": number,
            "recording_id": recording_id,
            "checkpoint_id": checkpoint_id,
            "label": scored.label,
            "confidence": scored.confidence,
            "scores": scored.scores,
            "clip_scores": scored.clip_scores,
            "clip_seconds": scored.clip_seconds,
            "clip_hop_seconds": scored.clip_hop_seconds,
            "classified_at": now,
        }
        for number, ((recording_id, checkpoint_id), scored) in enumerate(new.items(), first)
    ]
    execute_many(connection, _ADD_PREDICTIONS, values)
    return {
        key: _Answer(number, key[1], scored.label, scored.confidence)
        for number, (key, scored) in enumerate(new.items(), first)
    }


def _delete_rows(connection: Connection, rows: Iterable[_Row]) -> None:
    for some in chunks([row.id for row in rows]):
        connection.execute(delete(recording).where(recording.c.id.in_(some)))


_UPDATE = update(recording).where(recording.c.id == bindparam("row_id"))


def _update_rows(connection: Connection, rows: Iterable[tuple[_Row, Changes]]) -> None:
    """In the order given, those that change in the same columns in one go."""
    for names, some in groupby(rows, key=lambda row: tuple(row[1])):
        if names:
            values = [changes | {"row_id": row.id} for row, changes in some]
            execute_many(connection, _UPDATE, values)
