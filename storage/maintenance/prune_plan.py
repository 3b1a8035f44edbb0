"""Which rows nobody needs any more: a plan, made by reading alone, in bits for ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

from sqlalchemy import Row, func, or_, select

from storage.database.engine import Database
from storage.database.tables import inbox, prediction, recording
from storage.maintenance.file_presence import WHERE, FilePresence
from storage.maintenance.id_ranges import largest_id, spans_of
from storage.values.progress import ProgressTicker
from storage.values.text import printable_path

Reason = Literal["superseded", "missing"]

_FIRST = 5
_row = recording.c
_moment = func.coalesce(_row.answered_at, _row.first_seen_at).label("moment")
_is_busy = or_(
    _row.state == "pending", _row.claimed_by.is_not(None), _row.requeued.is_not(None)
).label("is_busy")
JUDGED = select(*WHERE, _row.state, _moment, _is_busy, _row.label, _row.checkpoint_id)


@dataclass(frozen=True)
class PruneRequest:
    """What a person no longer wants; `before` is a stamp, and bounds all of it."""

    superseded: bool = False
    missing: bool = False
    history: bool = False
    before: str | None = None


class PruneRules:
    """Says of recordings why they may go, and of those that stay against the wish, why."""

    def __init__(self, wish: PruneRequest, whereabouts: FilePresence) -> None:
        self._wish = wish
        self._whereabouts = whereabouts

    def reasons(self, rows: Sequence[Row[Any]]) -> dict[int, Reason]:
        """By id. What was superseded has no file of its own in the inbox, but in an archive."""
        old = [row for row in rows if self._is_old(row)]
        replaced = {row.id for row in old if self._is_replaced(row)}
        bare = {row.id for row in old if row.id in replaced and row.archive_path is None}
        sought = (replaced | {row.id for row in old if self._wish.missing}) - bare
        gone = self._whereabouts.missing([row for row in old if row.id in sought])
        return {id: "superseded" if id in replaced else "missing" for id in bare | gone}

    def keeps_archived(self, row: Row[Any], reasons: dict[int, Reason]) -> bool:
        """Whether it was wished away, and stays for its file in the archive."""
        return self._is_old(row) and self._is_replaced(row) and row.id not in reasons

    def _is_old(self, row: Row[Any]) -> bool:
        return self._wish.before is None or row.moment < self._wish.before

    def _is_replaced(self, row: Row[Any]) -> bool:
        return self._wish.superseded and row.state == "superseded"


@dataclass
class PrunePlan:
    """What would go, and what has to stay: by reason, and the first paths of each."""

    wish: PruneRequest
    going: dict[Reason, MarkedIds]
    predictions: MarkedIds
    shared: int = 0
    archived: int = 0
    busy: int = 0
    changed: int = 0
    first_busy: str = ""
    paths: list[str] = field(default_factory=list)
    away: list[str] = field(default_factory=list)
    deleted: Counter[str] = field(default_factory=Counter)

    def is_going(self, id: int) -> bool:
        return any(id in marked for marked in self.going.values())

    def stays(self, id: int) -> None:
        for marked in self.going.values():
            marked.discard(id)

    def ids(self) -> MarkedIds:
        union = MarkedIds(max(marked.largest for marked in self.going.values()))
        for marked in self.going.values():
            for id in marked:
                union.add(id)
        return union

    def figures(self, is_done: bool) -> dict[str, object]:
        """For people and programs; `recordings` is the sum of the reasons."""
        counts: dict[str, int] = {reason: len(marked) for reason, marked in self.going.items()}
        counts["history"] = len(self.predictions)
        if is_done:
            counts = {name: self.deleted[name] for name in counts}
        return {
            "dry_run": not is_done,
            "recordings": counts["superseded"] + counts["missing"],
            **counts,
            "paths": self.paths,
            "kept_shared": self.shared,
            "kept_archived": self.archived,
            "kept_busy": self.busy,
            "kept_changed": self.changed,
            "away": self.away,
        }

    def lines(self, is_done: bool) -> Iterator[str]:
        told = self.figures(is_done)
        yield (
            f"{'deleted' if is_done else 'would delete'} {told['recordings']} recordings"
            f" ({told['superseded']} superseded, {told['missing']} missing)"
            f" and {told['history']} earlier predictions"
        )
        yield from (f"  {path}" for path in self.paths)
        if self.shared:
            yield f"kept {self.shared} recordings whose answer others share that stay"
        if self.archived:
            yield f"kept {self.archived} superseded recordings whose file lies in the archive"
        if self.changed:
            yield f"kept {self.changed} rows that changed meanwhile"
        if self.busy:
            yield (
                f"{self.busy} recordings wait for an answer or are being read, so nothing will be"
                f" deleted before (the first is {self.first_busy}); let `clfd run --once` finish"
            )
        for folder in self.away:
            yield f"{folder} is away as a whole, so nothing in it counts as missing"


# --- the plan


def plan(database: Database, wish: PruneRequest, pulse: ProgressTicker) -> PrunePlan:
    """Reads only; in memory it takes three bits a row."""
    largest = largest_id(database, recording)
    reasons: tuple[Reason, ...] = ("superseded", "missing")
    made = PrunePlan(wish, {reason: MarkedIds(largest) for reason in reasons}, MarkedIds(0))
    whereabouts = FilePresence(database)
    if wish.superseded or wish.missing:
        _mark_recordings(database, made, PruneRules(wish, whereabouts), largest, pulse)
        _leave_shared(database, made, largest, pulse)
        made.paths = _paths(database, list(islice(made.ids(), _FIRST)))
    if wish.history:
        made.predictions = _history(database, made, largest, pulse)
    made.away = sorted(map(printable_path, whereabouts.away))
    return made


def _mark_recordings(
    database: Database, made: PrunePlan, judge: PruneRules, largest: int, pulse: ProgressTicker
) -> None:
    for rows in spans_of(database, JUDGED, _row.id, largest, pulse, "recordings looked at"):
        reasons = judge.reasons(rows)
        for row in rows:
            if row.id in reasons and row.is_busy:
                made.busy += 1
                made.first_busy = made.first_busy or printable_path(row.path)
            elif row.id in reasons:
                made.going[reasons[row.id]].add(row.id)
            else:
                made.archived += judge.keeps_archived(row, reasons)


def _leave_shared(database: Database, made: PrunePlan, largest: int, pulse: ProgressTicker) -> None:
    """An answer that serves a recording which stays is kept, with the recording it is of.

    That one may share the answer of a third: again, until nothing changes.
    """
    query = (
        select(_row.id, prediction.c.recording_id)
        .join(prediction, prediction.c.id == _row.prediction_id)
        .where(prediction.c.recording_id != _row.id)
    )
    has_changed = any(map(len, made.going.values()))
    while has_changed:
        has_changed = False
        for rows in spans_of(database, query, _row.id, largest, pulse, "shared answers"):
            for sharer, leader in map(tuple, rows):
                if made.is_going(leader) and not made.is_going(sharer):
                    made.stays(leader)
                    made.shared += 1
                    has_changed = True


def _history(database: Database, made: PrunePlan, largest: int, pulse: ProgressTicker) -> MarkedIds:
    """Predictions that are the answer of no recording which stays, but are of one."""
    current = answers_in_use(database, largest, pulse, made.is_going)
    found = MarkedIds(current.largest)
    query = select(prediction.c.id, prediction.c.recording_id)
    if made.wish.before is not None:
        query = query.where(prediction.c.classified_at < made.wish.before)
    of = prediction.c.recording_id
    for rows in spans_of(database, query, of, largest, pulse, "predictions"):
        for id, recording_id in map(tuple, rows):
            if id not in current and not made.is_going(recording_id):
                found.add(id)
    return found


def answers_in_use(
    database: Database, largest: int, pulse: ProgressTicker, without: Callable[[int], bool]
) -> MarkedIds:
    """The predictions that are the current answer of some recording, `without` some of these."""
    current = MarkedIds(largest_id(database, prediction))
    query = select(_row.id, _row.prediction_id).where(_row.prediction_id.is_not(None))
    for rows in spans_of(database, query, _row.id, largest, pulse, "answers"):
        for id, prediction_id in map(tuple, rows):
            if not without(id):
                current.add(prediction_id)
    return current


def _paths(database: Database, ids: Sequence[int]) -> list[str]:
    query = select(inbox.c.path_text + "/" + _row.path_text).join_from(recording, inbox)
    with database.transaction() as connection:
        return list(connection.scalars(query.where(_row.id.in_(ids)).order_by(_row.id)))


class MarkedIds:
    """A set of ids up to `largest`; greater ones, of rows that came later, are never in it."""

    def __init__(self, largest: int) -> None:
        self.largest = largest
        self._bits = bytearray(largest // 8 + 1)

    def add(self, id: int) -> None:
        if id <= self.largest:
            self._bits[id >> 3] |= 1 << (id & 7)

    def discard(self, id: int) -> None:
        if id <= self.largest:
            self._bits[id >> 3] &= ~(1 << (id & 7))

    def __contains__(self, id: int) -> bool:
        return id <= self.largest and bool(self._bits[id >> 3] & 1 << (id & 7))

    def __len__(self) -> int:
        return int.from_bytes(self._bits).bit_count()

    def __iter__(self) -> Iterator[int]:
        """In ascending order."""
        for place, byte in enumerate(self._bits):
            if byte:
                yield from (place * 8 + bit for bit in range(8) if byte >> bit & 1)

    def __reversed__(self) -> Iterator[int]:
        for place in range(len(self._bits) - 1, -1, -1):
            if byte := self._bits[place]:
                yield from (place * 8 + bit for bit in range(7, -1, -1) if byte >> bit & 1)
