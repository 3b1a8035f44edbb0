"""`/queue`: the next clips to be labelled, by why they are worth it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy import Connection, func, select

from storage.database.tables import label_mark, recording
from storage.labels.label_events import newest_number
from storage.queries.active_learning import suggestions
from storage.queries.filters import Filters, Sort
from storage.queries.result import Result
from storage.queries.results import page, results_of
from storage.review.clip_to_judge import ClipToJudge, clip_to_judge
from web.api.filters_query import AskedFilters
from web.server.context import Context

router = APIRouter(tags=["labels"])

Kind = Literal["suggested", "unsure", "disputed", "rare", "wrong", "filter", "guess"]
_REASONS = {"unsure": "unsure", "disputed": "checkpoints disagree", "rare": "few are"}
_PAGE, _MOST_PAGES = 200, 10  # that are looked through for what nobody labelled
_MOST = 200


@dataclass(frozen=True)
class QueuedClip(ClipToJudge):
    """With why it is asked about, and the newest event there is: the `seen` of an answer."""

    reason: str
    seen: int


class Queue(BaseModel):
    items: list[QueuedClip]


@router.get("/queue")
def queue(
    filters: AskedFilters,
    context: Context,
    kind: Kind = "suggested",
    n: Annotated[int, Query(ge=1, le=_MOST)] = 50,
    skip: Annotated[list[str], Query(max_length=_MOST, description="Digests.")] = [],  # noqa: B006
) -> Queue:
    """Up to so many. `filter` takes those of `/recordings`, `guess` those with a label."""
    with context.reading() as connection:
        seen = newest_number(connection)
        if kind in ("filter", "guess", "wrong"):
            sort: Sort = "confidence" if kind == "guess" else "newest"
            is_wrong = filters.wrong or kind == "wrong"
            is_new = not (is_wrong or filters.of_people)
            wanted = replace(filters, wrong=is_wrong, unlabelled=filters.unlabelled or is_new)
            found = list(_fitting(connection, wanted, sort, n, skip))
        else:
            found = _suggested(connection, filters, kind, n, skip)
        rows = results_of(connection, [id for id, _ in found], filters, with_clips=True)
    reasons = dict(found)
    return Queue(items=[queued(row, reasons[row.id], seen) for row in rows])


def queued(row: Result, reason: str, seen: int, label: str | None = None) -> QueuedClip:
    return QueuedClip(**vars(clip_to_judge(row, label)), reason=reason, seen=seen)


def _suggested(
    connection: Connection, filters: Filters, kind: Kind, n: int, skip: Sequence[str]
) -> list[tuple[int, str]]:
    of_reason = _REASONS.get(kind, "")
    asked = (n + len(skip)) * (3 if of_reason else 1)
    reasons = {
        one.digest: one.reason
        for one in suggestions(connection, asked, filters.rules)
        if one.reason.startswith(of_reason) and one.digest not in skip
    }
    row = recording.c
    query = select(func.max(row.id), row.digest).where(row.digest.in_(list(reasons)[:n]))
    query = query.where(row.state == "done").group_by(row.digest)
    ids = {digest: id for id, digest in connection.execute(query)}
    return [(ids[digest], reason) for digest, reason in reasons.items() if digest in ids]


def _fitting(
    connection: Connection, filters: Filters, sort: Sort, n: int, skip: Sequence[str]
) -> Iterator[tuple[int, str]]:
    """What fits and nobody is unsure of, as far as it is found soon."""
    passed, left, after = {*skip}, n, None
    for _ in range(_MOST_PAGES):
        found = page(connection, filters, sort, _PAGE, after)
        digests = [one.digest for one in found.rows]
        marks = select(label_mark.c.digest).where(label_mark.c.digest.in_(digests))
        passed |= {*connection.scalars(marks)}
        for one in found.rows:
            if one.digest in passed:
                continue
            passed.add(one.digest or "")
            yield one.id, "you said otherwise" if filters.wrong else ""
            left -= 1
            if not left:
                return
        after = found.after
        if after is None:
            return
