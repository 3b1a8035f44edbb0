"""The filters of the results, the WHERE that they make, and the index that SQLite reads for it.

SQLite cannot know how many recordings a filter leaves. So they are either walked in the order of
the page, until enough fit, or gathered from those that one filter leaves, and sorted; whichever
reads less. benchmarks/history/ledger.md has what pages take without this.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import translate
from math import prod
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    case,
    func,
    or_,
    select,
)

from storage.database.sqlite import PATH_INDEX
from storage.database.tables import (
    DAY_LENGTH,
    checkpoint,
    inbox,
    prediction,
    recording,
    tally,
)
from storage.labels.human_labels import differs_from_human, has_human_label
from storage.values.decision import UNKNOWN, DisplayRules
from storage.values.timestamps import to_local_time

Status = Literal["done", "failed", "pending", "superseded", "all"]
Sort = Literal["newest", "oldest", "confidence", "path"]
Axis = Literal["label", "status", "checkpoint", "day", "folder", "site", "hour"]

STATES: tuple[Status, ...] = ("done", "failed", "pending", "superseded")
SORTS: tuple[Sort, ...] = ("newest", "oldest", "confidence", "path")
SECONDS = len("2026-01-31T12:00:00")
ANSWER, LABEL = "ix_recording_answer", "ix_recording_label"
CONFIDENCE, MOMENT = "ix_recording_confidence", "ix_recording_moment"
DIGEST, RECORDED = "ix_recording_digest", "ix_recording_recorded"
NUMBER = "ix_recording_answer_number"
AFTER_ALL = "U"  # comes after the T of a stamp: behind the last moment of its day
_LOOK = 60_000  # entries that are counted to learn whether a filter leaves few
# Cost of fetching the table row for an index entry, relative to an entry that tells enough
# (2 us against 0.1 us). Of rows that were answered one after the other several lie on a page, and
# those in the order of confidence lie anywhere (3.8 us against 1.4 us in the order of paths).
_ROW, _NEXT_ROW, _SCATTERED_ROW = 20, 4, 50
# Recorders number their files, so in the order of paths the newest come last in each folder.
_NEWEST_BY_PATH = 10
_row, _tally = recording.c, tally.c


@dataclass(frozen=True)
class Filters:
    """Which recordings. Times are stamps and `until` is exclusive.

    `checkpoint` is the start of a name or digest. `history` asks for every prediction of a
    recording instead of its current answer. `by_recorded`: times are those at which recordings
    began. `rules` say how answers are shown, and labels are meant as they are shown. Levels are in
    dBFS. `labelled` are those of which, or of a part of which, a person says what it is; `wrong`
    those of which a person says something else.
    """

    status: Status = "done"
    labels: tuple[str, ...] = ()
    min_confidence: float | None = None
    max_confidence: float | None = None
    since: str | None = None
    until: str | None = None
    path: str | None = None
    checkpoint: str | None = None
    history: bool = False
    wrong: bool = False
    by_recorded: bool = False
    min_level: float | None = None
    max_level: float | None = None
    clipped: bool = False
    labelled: bool = False
    rules: DisplayRules = field(default=DisplayRules(), compare=False)

    @property
    def states(self) -> tuple[Status, ...]:
        return STATES if self.status == "all" else (self.status,)

    @property
    def is_tallied(self) -> bool:
        """Whether the tally by day, label and checkpoint knows all that is asked."""
        unsure = bool(self.labels) and self.rules.knows_unknown
        of_people = self.wrong or self.labelled
        of_rows = self.bounds_confidence or self.needs_levels or of_people or self.by_recorded
        return self.path is None and not (of_rows or unsure)

    @property
    def stored_labels(self) -> tuple[str, ...]:
        """Those that answers which fit have in the ledger; none: any."""
        return () if self.rules.knows_unknown and UNKNOWN in self.labels else self.labels

    @property
    def needs_levels(self) -> bool:
        return (self.min_level, self.max_level) != (None, None) or self.clipped

    @property
    def bounds_confidence(self) -> bool:
        return self.min_confidence is not None or self.max_confidence is not None

    def fit_answer(self, label: str | None, confidence: float | None) -> bool:
        """Whether an answer, or a part of one, has a label and a confidence that are asked for."""
        least, most = self.min_confidence or 0.0, self.max_confidence
        is_sure = least <= (confidence or 0.0) <= (1.0 if most is None else most)
        return is_sure and (not self.labels or label in self.labels)

    def with_status(self, status: Status) -> Filters:
        return replace(self, status=status)


def clauses(filters: Filters) -> Iterator[ColumnElement[bool]]:
    """All filters; of a history they are about `prediction`, which has to be joined."""
    answer = prediction.c if filters.history else _row
    shown_label = filters.rules.label_sql(answer.label, answer.confidence)
    if filters.status != "all":
        yield _row.state == filters.status
    if filters.stored_labels:  # for an index
        yield answer.label.in_(filters.stored_labels)
    if filters.labels and filters.rules.knows_unknown:
        yield shown_label.in_(filters.labels)
    if filters.checkpoint is not None:
        named = select(checkpoint.c.id).where(checkpoint_clause(filters.checkpoint))
        yield answer.checkpoint_id.in_(named)
    yield from range_clauses(answer.confidence, filters.min_confidence, filters.max_confidence)
    yield from time_clauses(filters)
    if filters.path is not None:
        yield from path_clauses(filters.path)
    yield from range_clauses(_row.rms_dbfs, filters.min_level, filters.max_level)
    if filters.clipped:
        yield _row.clipped > 0
    if filters.wrong or filters.labelled:
        yield has_human_label()
    if filters.wrong:
        yield differs_from_human(shown_label, filters.rules, filters.history)


def joined(filters: Filters) -> FromClause:
    """The FROM: outer joins, so that the planner starts at the recording and drops the others."""
    answer: ColumnElement[bool] = prediction.c.id == _row.prediction_id
    if filters.history:
        answer = or_(answer, prediction.c.recording_id == _row.id)
    return (
        recording.outerjoin(inbox, inbox.c.id == _row.inbox_id)
        .outerjoin(prediction, answer)
        .outerjoin(checkpoint, checkpoint.c.id == prediction.c.checkpoint_id)
    )


def range_clauses(
    column: ColumnElement[Any], least: float | None, most: float | None
) -> Iterator[ColumnElement[bool]]:
    if least is not None:
        yield column >= least
    if most is not None:
        yield column <= most


def time_clauses(filters: Filters) -> Iterator[ColumnElement[bool]]:
    if filters.by_recorded:
        yield from recorded_clauses(filters)
        return
    if filters.since is not None:
        yield moment(filters) >= filters.since
    if filters.until is not None:
        yield moment(filters) < filters.until


def recorded_clauses(filters: Filters) -> Iterator[ColumnElement[bool]]:
    """When it began; what does not tell fits no time. The first clause is for an index."""
    column, is_utc = _row.recorded_at, _row.recorded_at.endswith("Z")
    yield column.is_not(None)
    if filters.since is not None:
        utc, wall = filters.since[:SECONDS], to_local_time(filters.since, filters.rules.zone)
        yield column >= min(utc, wall)
        yield column >= case((is_utc, utc), else_=wall)
    if filters.until is not None:
        utc, wall = filters.until[:SECONDS], to_local_time(filters.until, filters.rules.zone)
        yield column < max(utc, wall)
        yield column < case((is_utc, utc), else_=wall)


def moment(filters: Filters) -> ColumnElement[str]:
    """When it came about: an answer's time, or that of being seen where there is none."""
    if filters.history:
        return func.coalesce(prediction.c.classified_at, _row.answered_at, _row.first_seen_at)
    if filters.status in ("pending", "all"):
        return func.coalesce(_row.answered_at, _row.first_seen_at)
    return _row.answered_at


def checkpoint_clause(reference: str) -> ColumnElement[bool]:
    """Of `checkpoint`: its name or digest begins so."""
    return or_(
        checkpoint.c.name.startswith(reference, autoescape=True),
        checkpoint.c.digest.startswith(reference, autoescape=True),
    )


def path_clauses(glob: str) -> Iterator[ColumnElement[bool]]:
    if glob.startswith("/"):
        folder = inbox.alias()
        whole = select(folder.c.path_text).where(folder.c.id == _row.inbox_id).scalar_subquery()
        yield (whole + "/" + _row.path_text).regexp_match(rf"\A{translate(glob)}")
        return
    yield from path_prefix_clauses(glob)
    if glob != f"{path_prefix(glob)}*":  # which the prefix says already, in a tenth of the time
        yield _row.path_text.regexp_match(rf"\A{translate(glob)}")


def path_prefix(glob: str) -> str:
    """What every path that fits begins with; a backslash may stand for a byte, and ends it."""
    return re.split(r"[*?\[\\]", glob, maxsplit=1)[0]


def path_prefix_clauses(glob: str) -> Iterator[ColumnElement[bool]]:
    """The same of the bytes, so that an index finds it."""
    first = b"" if glob.startswith("/") else path_prefix(glob).encode()
    if first:
        behind = first[:-1] + bytes([first[-1] + 1])  # UTF-8 has no byte that is the last of all
        here = _row.inbox_id.in_(select(inbox.c.id))
        yield and_(here, _row.path >= first, _row.path < behind)


# --- the index


def by_index(query: Select[Any], index: str) -> Select[Any]:
    """Name the index to read, where SQLite would have to guess; other databases are not told."""
    return query.with_hint(recording, f"INDEXED BY {index}", "sqlite")


@dataclass(frozen=True)
class Tallied:
    """How many recordings there are, how many have the status, how many fit, and on which days."""

    total: int
    of_status: int
    fitting: int
    first_day: str | None
    last_day: str | None

    def within(self, filters: Filters) -> Filters:
        """The filters with the days on which anything fits.

        So that those of a checkpoint of last year are not looked for among all that came after.
        """
        if filters.by_recorded or not (filters.stored_labels or filters.checkpoint):
            return filters
        first, behind = self.first_day or "", f"{self.last_day}{AFTER_ALL}"
        since = max(filters.since or first, first)
        return replace(filters, since=since, until=min(filters.until or behind, behind))


def tallied(connection: Connection, filters: Filters) -> Tallied:
    """As far as the tally knows: by status, label, checkpoint and whole days of answers."""
    within = [] if filters.by_recorded else [*day_clauses(filters)]
    fits = and_(_tally.n > 0, *tally_clauses(filters), *within)
    has_status = and_(_tally.n > 0, *tally_clauses(Filters(status=filters.status)), *within)
    found = connection.execute(
        select(
            func.sum(_tally.n),
            func.sum(case((has_status, _tally.n), else_=0)),
            func.sum(case((fits, _tally.n), else_=0)),
            func.min(case((fits, _tally.day))),
            func.max(case((fits, _tally.day))),
        )
    ).one()
    return Tallied(found[0] or 0, found[1] or 0, found[2] or 0, found[3], found[4])


def tally_clauses(filters: Filters) -> Iterator[ColumnElement[bool]]:
    """All but the time."""
    if filters.status != "all":
        yield _tally.state == filters.status
    if filters.stored_labels:
        yield _tally.label.in_(filters.stored_labels)
    if filters.checkpoint is not None:
        named = select(checkpoint.c.id).where(checkpoint_clause(filters.checkpoint))
        yield _tally.checkpoint_id.in_(named)


def day_clauses(filters: Filters, is_whole: bool = False) -> Iterator[ColumnElement[bool]]:
    """The days of a time; `is_whole`: without those that begin or end within it."""
    if filters.since is not None:
        first = filters.since[:DAY_LENGTH]
        yield _tally.day > first if is_whole else _tally.day >= first
    if filters.until is not None:
        last = filters.until[:DAY_LENGTH]
        yield _tally.day < last if is_whole else _tally.day <= last


def best_index(
    connection: Connection, filters: Filters, sort: Sort, limit: int, known: Tallied
) -> str:
    """The cheapest one for `limit` rows, as if the filters had nothing to do with each other."""
    left = dict(_left(connection, filters, known))
    costs = {
        index: n * _cost(index, filters, sort)
        for index, n in left.items()
        if n < _LOOK or index in (LABEL, ANSWER)
    }
    in_order = _in_order(filters, sort)
    total = max(1, known.total)
    fitting = max(1.0, total * prod(n / total for n in left.values()))
    size = left.get(in_order, total)
    walked = min(size, int(limit * max(1.0, size / fitting))) * _cost(in_order, filters, sort)
    narrowest = min(left, key=lambda index: left[index], default=None)
    if sort == "path" and filters.since is not None and narrowest == ANSWER:
        walked *= _NEWEST_BY_PATH
    costs[in_order] = min(walked, costs.get(in_order, walked))
    return min(costs, key=lambda index: costs[index])


def _left(connection: Connection, filters: Filters, known: Tallied) -> Iterator[tuple[str, int]]:
    """How many recordings each filter leaves, by the index that finds them; _LOOK is many."""
    if filters.stored_labels:
        yield LABEL, known.fitting
    if filters.status != "all":
        yield ANSWER, known.of_status
    if filters.bounds_confidence:
        bounds = filters.min_confidence, filters.max_confidence
        yield CONFIDENCE, _look(connection, CONFIDENCE, [*range_clauses(_row.confidence, *bounds)])
    if filters.by_recorded:
        yield RECORDED, _look(connection, RECORDED, [*recorded_clauses(filters)])
    if filters.wrong or filters.labelled:
        yield DIGEST, _look(connection, DIGEST, [has_human_label()])
    if filters.path is not None and (prefix := [*path_prefix_clauses(filters.path)]):
        yield PATH_INDEX, _look(connection, PATH_INDEX, prefix)


def _look(connection: Connection, index: str, where: Sequence[ColumnElement[bool]]) -> int:
    seen = by_index(select(_row.id), index).where(*where).limit(_LOOK).subquery()
    return connection.scalar(select(func.count()).select_from(seen)) or 0


def _in_order(filters: Filters, sort: Sort) -> str:
    """The index whose order is that of the page."""
    if sort == "path":
        return PATH_INDEX
    if sort == "confidence":
        # Where nothing has a confidence, the index would be walked to its end.
        return ANSWER if filters.status in ("failed", "pending") else CONFIDENCE
    if filters.status in ("pending", "all"):
        return MOMENT
    return LABEL if len(filters.stored_labels) == 1 else ANSWER


def _cost(index: str, filters: Filters, sort: Sort) -> int:
    """Of an entry of the index: whether it tells enough, or the row must be fetched."""
    tells = index in (LABEL, ANSWER) and filters.status not in ("pending", "all")
    if tells and sort != "path" and filters.path is None:
        return 1
    return {ANSWER: _NEXT_ROW, CONFIDENCE: _SCATTERED_ROW}.get(index, _ROW)
