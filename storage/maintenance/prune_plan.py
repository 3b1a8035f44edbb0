"""Which rows nobody needs any more: a plan that `clfd db prune` shows, and carries out with --yes.

The plan changes nothing in the ledger. It lies in temporary tables of its connection, which are
written without the ledger's lock: recordings as they were found, and predictions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import (
    Column,
    Connection,
    LargeBinary,
    MetaData,
    Row,
    Select,
    Table,
    Text,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
)

from storage.database.bulk import execute_many
from storage.database.database import Database
from storage.database.tables import Whole, inbox, prediction, recording
from storage.maintenance.file_presence import PLACE_COLUMNS, FilePresence
from storage.maintenance.id_ranges import id_ranges, rows_by_range
from storage.values.progress import ProgressTicker
from storage.values.text import counted, printable_path

Reason = Literal["superseded", "missing"]

_FIRST = 5
_row = recording.c
_user = recording.alias("user")

moment = func.coalesce(_row.answered_at, _row.first_seen_at)
is_busy = or_(_row.state == "pending", _row.claimed_by.is_not(None), _row.requeued.is_not(None))
RECORDINGS = select(*PLACE_COLUMNS, _row.state, moment.label("moment"), is_busy.label("is_busy"))

_temporary = MetaData()
marked = Table(
    "marked_recording",
    _temporary,
    Column("id", Whole, primary_key=True),
    Column("reason", Text),
    Column("state", Text),
    Column("moment", Text),
    Column("archive_path", LargeBinary),
    Column("archived_at", Text),
    prefixes=["TEMPORARY"],
)
marked_prediction = Table(
    "marked_prediction",
    _temporary,
    Column("id", Whole, primary_key=True),
    prefixes=["TEMPORARY"],
)
_IS_MARKED = select(marked.c.id).correlate(None)
_MARK = insert(marked)

# Another recording has an answer of this one as its own; only one of the same content can.
is_shared = exists().where(
    prediction.c.recording_id == _row.id,
    _user.c.digest == _row.digest,
    _user.c.prediction_id == prediction.c.id,
    _user.c.id != _row.id,
)


@dataclass(frozen=True)
class PruneRequest:
    """What a person no longer wants; `before` is a stamp, and bounds all of it."""

    superseded: bool = False
    missing: bool = False
    history: bool = False
    before: str | None = None


class PruneRules:
    """Says of recordings why they may go, and which stay for their file in the archive.

    `n_present` counts those that stay for a file which lies where it was.
    """

    def __init__(self, request: PruneRequest, presence: FilePresence) -> None:
        self._request = request
        self._presence = presence
        self.n_present = 0

    def reasons(self, rows: Sequence[Row[Any]]) -> dict[int, Reason]:
        """By id. What was superseded has no file of its own in the inbox, but in an archive."""
        old = [row for row in rows if self._is_old(row)]
        replaced = {row.id for row in old if self._is_replaced(row)}
        bare = {row.id for row in old if row.id in replaced and row.archive_path is None}
        sought = (replaced | {row.id for row in old if self._request.missing}) - bare
        present, gone = self._presence.look([row for row in old if row.id in sought])
        self.n_present += sum(row.id in present for row in old if row.state != "superseded")
        return {id: "superseded" if id in replaced else "missing" for id in bare | gone}

    def keeps_archived(self, row: Row[Any], reasons: dict[int, Reason]) -> bool:
        """Whether the request means it, and it stays for its file in the archive."""
        return self._is_old(row) and self._is_replaced(row) and row.id not in reasons

    def _is_old(self, row: Row[Any]) -> bool:
        return self._request.before is None or row.moment < self._request.before

    def _is_replaced(self, row: Row[Any]) -> bool:
        return self._request.superseded and row.state == "superseded"


@dataclass
class PrunePlan:
    """How many rows would go, or went, by reason; how many stay and why; first paths of each."""

    request: PruneRequest
    planned: Counter[str] = field(default_factory=Counter)
    deleted: Counter[str] = field(default_factory=Counter)
    shared: int = 0
    archived: int = 0
    present: int = 0
    busy: int = 0
    changed: int = 0
    first_busy: str = ""
    paths: list[str] = field(default_factory=list)
    away: list[str] = field(default_factory=list)

    def figures(self, is_done: bool) -> dict[str, object]:
        """For people and programs; `recordings` is the sum of the reasons."""
        counts = self.deleted if is_done else self.planned
        return {
            "dry_run": not is_done,
            "recordings": counts["superseded"] + counts["missing"],
            **{name: counts[name] for name in ("superseded", "missing", "history")},
            "paths": self.paths,
            "kept_shared": self.shared,
            "kept_archived": self.archived,
            "kept_present": self.present,
            "kept_busy": self.busy,
            "kept_changed": self.changed,
            "away": self.away,
        }

    @property
    def is_empty(self) -> bool:
        return not self.planned.total()

    def lines(self, is_done: bool) -> Iterator[str]:
        counts = self.deleted if is_done else self.planned
        recordings = counted(counts["superseded"] + counts["missing"], "recording")
        yield (
            f"{'deleted' if is_done else 'would delete'} {recordings}"
            f" ({counts['superseded']} superseded, {counts['missing']} missing)"
            f" and {counted(counts['history'], 'earlier prediction')}"
        )
        yield from (f"  {path}" for path in self.paths)
        if self.present and self.request.before is not None:
            yield (
                f"kept {counted(self.present, 'recording')} of that age whose file is still there:"
                " one in the inbox would be scored again; move the files away, then prune"
            )
        if self.shared:
            yield f"kept {counted(self.shared, 'recording')} whose answer others share that stay"
        if self.archived:
            superseded = counted(self.archived, "superseded recording")
            yield f"kept {superseded} whose file lies in the archive"
        if self.changed:
            yield f"kept {counted(self.changed, 'row')} that changed meanwhile"
        if self.busy:
            wait = counted(
                self.busy,
                "recording waits for an answer or is being read",
                "recordings wait for an answer or are being read",
            )
            yield (
                f"{wait}, so nothing will be deleted before (the first is {self.first_busy});"
                " let `clfd run --once` finish"
            )
        for folder in self.away:
            yield f"{folder} is away as a whole, so nothing in it counts as missing"


def make_plan(database: Database, request: PruneRequest, progress: ProgressTicker) -> PrunePlan:
    """Marks rows in temporary tables of a `pruner`'s connection."""
    plan = PrunePlan(request)
    presence = FilePresence(database)
    with database.transaction() as connection:
        _temporary.drop_all(connection)
        _temporary.create_all(connection)
    if request.superseded or request.missing:
        rules = PruneRules(request, presence)
        _mark_recordings(database, plan, rules, progress)
        plan.present = rules.n_present
        _unmark_shared(database, plan)
    if request.history:
        plan.planned["history"] = _mark_unused_predictions(database, request.before, progress)
    plan.away = sorted(map(printable_path, presence.away))
    return plan


def mark(connection: Connection, rows: Sequence[Row[Any]], reasons: dict[int, Reason]) -> None:
    """Note recordings as they were found."""
    columns = ("id", "state", "moment", "archive_path", "archived_at")
    values = [{name: getattr(row, name) for name in columns} for row in rows]
    execute_many(connection, _MARK, [{**each, "reason": reasons[each["id"]]} for each in values])


def unused_predictions(beside_marked: bool = False) -> Select[tuple[int]]:
    """Ids of predictions that are the current answer of no recording.

    With `beside_marked` marked recordings count as deleted, with their predictions.
    """
    is_used = exists().where(
        _user.c.digest == _row.digest, _user.c.prediction_id == prediction.c.id
    )
    if beside_marked:
        is_used = is_used.where(_user.c.id.not_in(_IS_MARKED))
    query = (
        select(prediction.c.id)
        .join(recording, _row.id == prediction.c.recording_id)
        .where(_row.prediction_id.is_distinct_from(prediction.c.id), ~is_used)
    )
    return query.where(_row.id.not_in(_IS_MARKED)) if beside_marked else query


def _mark_recordings(
    database: Database, plan: PrunePlan, rules: PruneRules, progress: ProgressTicker
) -> None:
    for rows in rows_by_range(database, RECORDINGS, _row.id, progress, "recordings looked at"):
        reasons = rules.reasons(rows)
        busy = [row for row in rows if row.id in reasons and row.is_busy]
        plan.busy += len(busy)
        plan.first_busy = plan.first_busy or "".join(printable_path(row.path) for row in busy[:1])
        plan.archived += sum(rules.keeps_archived(row, reasons) for row in rows)
        with database.transaction() as connection:
            mark(connection, [r for r in rows if r.id in reasons and not r.is_busy], reasons)


def _unmark_shared(database: Database, plan: PrunePlan) -> None:
    """An answer that serves a recording which stays is kept, with the recording it is of.

    That one may share the answer of a third: again, until nothing changes.
    """
    is_kept = is_shared.where(_user.c.id.not_in(_IS_MARKED))
    kept = select(_row.id).join(marked, marked.c.id == _row.id).where(is_kept)
    unmark = delete(marked).where(marked.c.id.in_(kept))
    with database.transaction() as connection:
        while n_kept := connection.execute(unmark).rowcount:
            plan.shared += n_kept
        by_reason = select(marked.c.reason, func.count()).group_by(marked.c.reason)
        plan.planned.update(dict(map(tuple, connection.execute(by_reason))))
        first = select(inbox.c.path_text + "/" + _row.path_text).join_from(recording, inbox)
        first = first.join(marked, marked.c.id == _row.id).order_by(marked.c.id).limit(_FIRST)
        plan.paths = list(connection.scalars(first))


def _mark_unused_predictions(
    database: Database, before: str | None, progress: ProgressTicker
) -> int:
    query = unused_predictions(beside_marked=True)
    if before is not None:
        query = query.where(prediction.c.classified_at < before)
    n_marked = 0
    for is_in_range in id_ranges(database, _row.id, progress, "predictions"):
        unused = insert(marked_prediction).from_select(["id"], query.where(is_in_range))
        with database.transaction() as connection:
            n_marked += connection.execute(
                unused, execution_options={"preserve_rowcount": True}
            ).rowcount
    return n_marked
