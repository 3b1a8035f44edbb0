"""How outcomes change recordings: the rules, on plain objects (see `outcome_rows`).

Of all content versions of a file at most one is current (done or failed); a touched file, or
content that came back, is folded into the row that knows its digest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from sqlalchemy import Connection

from storage.fleet.inboxes import ALONE, Inboxes
from storage.ledger.archive_moves import ArchivePlan
from storage.ledger.finding_rows import Entry, enter_index, leave_index
from storage.ledger.outcome_rows import (
    Changes,
    PredictionKey,
    RecordingRow,
    StoredAnswer,
    delete_rows,
    inbox_folders,
    insert_predictions,
    predictions_of,
    replace_predictions,
    rows_concerned,
    rows_sharing,
    take_answer_numbers,
    update_rows,
)
from storage.ledger.outcomes import Changed, Failed, Linked, Outcome, Postponed, Scored
from storage.ledger.tallies import TallyChanges
from storage.values.text import printable, printable_path
from storage.values.timestamps import later

RESCORING_FAILED = "rescoring failed: "  # begins the warning of one that kept its answer
# A file that was gone is news when it is back, also in a folder that was moved away and returns,
# or on a disk that was unmounted: then `stat` says the same of it as before.
GONE = "gone"


def apply_outcomes(
    connection: Connection,
    outcomes: Sequence[Outcome],
    now: str,
    archive: ArchivePlan | None = None,
    inboxes: Inboxes = ALONE,
    lease_id: int | None = None,
) -> None:
    """Write what came of the work, inside the caller's transaction. Outcomes must be checked.

    With an archive, the place of a recording that is done now is written with its answer.

    An outcome whose recording is gone or superseded changes no answer. Nor does one of a recording
    that the lease does not hold: it was written before, by a commit of which nobody heard. A link
    whose leader has no prediction (any more) goes back to the queue.
    """
    leaders = [outcome.leader_id for outcome in outcomes if isinstance(outcome, Linked)]
    rows = rows_concerned(connection, outcomes, leaders)
    batch = _OutcomeBatch(rows, predictions_of(connection, [*rows, *leaders]), now, lease_id)
    if archive is not None:
        batch.archive, batch.folders = archive, inbox_folders(connection, inboxes)
    for outcome in outcomes:
        batch.apply(outcome)
    batch.write(connection)


class _OutcomeBatch:
    """The rows an outcome may touch, the predictions they have, and what is to be written."""

    def __init__(
        self,
        rows: dict[int, RecordingRow],
        predictions: dict[PredictionKey, StoredAnswer],
        now: str,
        lease_id: int | None,
    ) -> None:
        self._rows = rows
        self._lease_id = lease_id
        self._marks = {row.id: row.mark for row in rows.values()}
        self._before = {row.id: vars(row).copy() for row in rows.values()}
        self._predictions = predictions
        self._now = now
        self.archive: ArchivePlan | None = None
        self.folders: dict[int, bytes] = {}  # of the inboxes, by id
        self._new_predictions: dict[PredictionKey, Scored] = {}
        self._replacements: dict[PredictionKey, tuple[StoredAnswer, Scored]] = {}
        self._links: list[tuple[RecordingRow, PredictionKey]] = []
        self._targets: dict[int, int] = {}  # of rows that were folded into others
        self._folded: list[RecordingRow] = []
        self._changed: dict[int, RecordingRow] = {}
        self._answered: dict[int, RecordingRow] = {}  # in the order of the answers
        self._shared: dict[int, RecordingRow] = {}  # those whose answer was replaced for another
        self._versions: dict[tuple[int, bytes], list[RecordingRow]] = defaultdict(list)
        for row in rows.values():
            self._versions[row.file].append(row)

    def apply(self, outcome: Outcome) -> None:
        row = self._rows.get(outcome.recording_id)
        if row is None or (self._lease_id and row.claimed_by != str(self._lease_id)):
            return
        self._changed[row.id] = row
        if row.state == "superseded":
            row.leave_queue()
        elif isinstance(outcome, Changed):
            self._release(row)
        elif isinstance(outcome, Postponed):
            if not outcome.counts:
                row.give_attempt_back()
            row.claimed_by = row.claimed_at = None
            row.retry_after = later(self._now, outcome.wait_seconds)
        else:
            self._apply_read(outcome, row)

    def _apply_read(self, outcome: Scored | Linked | Failed, row: RecordingRow) -> None:
        target = self._target(row, outcome.digest)
        if target is None:
            self._release(row)
        elif _keeps_answer(target, row):
            self._keep(target, row)
        elif self._lacks_leader(outcome):
            row.give_attempt_back()
        else:
            self._answer(target, row, outcome)

    def _target(self, row: RecordingRow, digest: str | None) -> RecordingRow | None:
        """The row of this content; None when `row` is known to be of other content."""
        if digest is None or row.digest == digest:
            return row
        if row.digest is not None:
            return None
        same = (other for other in self._versions[row.file] if other.digest == digest)
        return next(same, row)

    def _release(self, row: RecordingRow) -> None:
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

    def _keep(self, target: RecordingRow, row: RecordingRow) -> None:
        if target is row:
            row.leave_queue()
            return
        self._fold(row, target)
        if target.state == "superseded":
            self._set_state(target, "done")
            self._supersede_others(target)

    def _answer(
        self, target: RecordingRow, row: RecordingRow, outcome: Scored | Linked | Failed
    ) -> None:
        if target is not row:
            self._fold(row, target)
        if isinstance(outcome, Failed):
            self._fail(target, outcome)
        else:
            self._finish(target, outcome)
        target.leave_queue()
        self._supersede_others(target)

    def _fail(self, target: RecordingRow, outcome: Failed) -> None:
        if target.state == "done":  # a rescore; the answer that is there stays
            target.warning = printable(f"{RESCORING_FAILED}{outcome.error}")
            return
        self._set_state(target, "failed")
        if outcome.error_class == "vanished":
            target.fingerprint = GONE
        target.digest = outcome.digest or target.digest
        target.error_class = printable(outcome.error_class)
        target.error = printable(outcome.error)

    def _finish(self, target: RecordingRow, outcome: Scored | Linked) -> None:
        self._set_state(target, "done")
        target.error_class = target.error = target.warning = None
        target.describe(outcome.facts)
        self._plan_move(target)
        if isinstance(outcome, Linked):
            self._link(target, outcome)
            return
        target.warning = None if outcome.warning is None else printable(outcome.warning)
        key = (target.id, outcome.checkpoint_id)
        stored = self._predictions.get(key)
        if stored is None:
            self._new_predictions[key] = outcome
        elif stored.scoring == outcome.scoring:
            target.take(stored)
        else:
            self._replacements[key] = stored, outcome

    def _set_state(self, target: RecordingRow, state: str) -> None:
        target.state, target.answered_at, target.answered_by = state, self._now, self._lease_id
        self._answered.pop(target.id, None)
        self._answered[target.id] = target

    def _plan_move(self, target: RecordingRow) -> None:
        """Unless it lies in the archive, or is on its way there."""
        if self.archive is None or target.archive_path is not None:
            return
        place = self.archive.place(self.folders[target.inbox_id], target.path)
        if place is not None:
            target.archive_path, target.archive_path_text = place, printable_path(place)

    def _link(self, target: RecordingRow, outcome: Linked) -> None:
        """What is wrong with the leader's content is wrong with a copy of it."""
        key = self._leader_key(outcome)
        if key in self._predictions:
            target.take(self._predictions[key])
        warning = leader.warning if (leader := self._rows.get(key[0])) else None
        is_own = warning is not None and warning.startswith(RESCORING_FAILED)
        target.warning = None if is_own else warning
        self._links.append((target, key))

    def _leader_key(self, outcome: Linked) -> PredictionKey:
        leader_id = self._targets.get(outcome.leader_id, outcome.leader_id)
        return leader_id, outcome.checkpoint_id

    def _lacks_leader(self, outcome: Outcome) -> bool:
        if not isinstance(outcome, Linked):
            return False
        key = self._leader_key(outcome)
        return key not in self._predictions and key not in self._new_predictions

    def _fold(self, row: RecordingRow, target: RecordingRow) -> None:
        target.fingerprint, target.size_bytes = row.fingerprint, row.size_bytes
        target.archived_at = None  # it came back, and goes where it was before
        if self.archive is None:
            target.archive_path = target.archive_path_text = None
        self._changed[target.id] = target
        self._targets[row.id] = target.id
        self._remove(row)

    def _remove(self, row: RecordingRow) -> None:
        self._folded.append(row)
        self._changed.pop(row.id, None)
        self._answered.pop(row.id, None)
        self._rows.pop(row.id)
        self._versions[row.file].remove(row)

    def _supersede_others(self, target: RecordingRow) -> None:
        for other in self._versions[target.file]:
            if other is not target and other.state in ("done", "failed"):
                other.state = "superseded"
                other.leave_queue()
                self._changed[other.id] = other

    def write(self, connection: Connection) -> None:
        """Predictions before the rows that name them, old versions before the new current one."""
        leave_index(connection, [*self._left_entries()])
        written = insert_predictions(connection, self._new_predictions, self._now)
        replaced = replace_predictions(connection, self._replacements, self._now)
        written |= replaced
        for (recording_id, _), answer in written.items():
            self._rows[recording_id].take(answer)
        for (recording_id, _), answer in replaced.items():
            self._share(
                answer, rows_sharing(connection, self._rows[recording_id].digest, answer.id)
            )
        for row, key in self._links:
            self._copy(row, key, written)
        if self._answered:
            numbers = take_answer_numbers(connection, len(self._answered))
            for row, number in zip(self._answered.values(), numbers, strict=True):
                row.answer_number = number
        enter_index(connection, [*self._new_entries()])
        delete_rows(connection, self._folded)
        changed = [(row, self._changes(row)) for row in self._changed.values()]
        changed.sort(key=lambda item: (item[0].state != "superseded", tuple(item[1])))
        update_rows(connection, changed)
        self._counter_changes().write(connection)

    def _left_entries(self) -> Iterator[Entry]:
        """Of what is answered anew, or goes: where the index has it now."""
        for row in (*self._answered.values(), *self._folded):
            before = self._before[row.id]
            if before["prediction_id"] and before["answered_at"]:
                yield row.id, before["answered_at"], before["prediction_id"]

    def _new_entries(self) -> Iterator[tuple[*Entry, int]]:
        for row in {**self._answered, **self._shared}.values():
            if row.prediction_id and row.answered_at and row.checkpoint_id:
                yield row.id, row.answered_at, row.prediction_id, row.checkpoint_id

    def _share(self, answer: StoredAnswer, rows: Sequence[RecordingRow]) -> None:
        """Whoever has this prediction as its answer is answered anew with it."""
        gone = {row.id for row in self._folded}
        for found in rows:
            row = self._rows.setdefault(found.id, found)
            if row.id in gone or row.prediction_id != answer.id:
                continue
            if row is found:
                self._marks[row.id], self._before[row.id] = row.mark, vars(row).copy()
            row.take(answer)
            self._changed[row.id] = self._shared[row.id] = row
            if row.state == "done":
                self._set_state(row, "done")

    def _copy(
        self, row: RecordingRow, key: PredictionKey, written: dict[PredictionKey, StoredAnswer]
    ) -> None:
        """The leader's answer, and its levels, since only the beginning of a copy is decoded."""
        if key in written:
            row.take(written[key])
        if leader := self._rows.get(key[0]):
            row.rms_dbfs, row.peak_dbfs = leader.rms_dbfs, leader.peak_dbfs
            row.clipped = leader.clipped

    def _changes(self, row: RecordingRow) -> Changes:
        """What to write: a column that is written has its indexes written, changed or not."""
        before = self._before[row.id]
        return {name: value for name, value in vars(row).items() if value != before[name]}

    def _counter_changes(self) -> TallyChanges:
        changes = TallyChanges()
        for row in self._folded:
            changes.count(self._marks[row.id], -1)
        for row in self._changed.values():
            changes.move(self._marks[row.id], row.mark)
        return changes


def _keeps_answer(target: RecordingRow, row: RecordingRow) -> bool:
    """`done` is never answered again, unless this very row was queued for it."""
    if target is not row:
        return target.prediction_id is not None
    return row.state == "done" and row.requeued != "rescore"
