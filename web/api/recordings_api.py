"""`/recordings` and `/counts`: what `clfd results` lists and counts."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from math import isfinite
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from storage.labels.label_events import newest_number
from storage.queries.clips import ClipOptions, spans_of
from storage.queries.counts import count_by, count_in_time
from storage.queries.filters import Axis, Filters, Sort
from storage.queries.one_recording import history_of, recording_with_clips
from storage.queries.result import COLUMNS, Result
from storage.queries.results import PageKey, page
from web.api.filters_query import AskedFilters
from web.server.context import Context
from web.server.problems import Problem

router = APIRouter(tags=["recordings"])

MAX_ROWS = 500
COUNT_SECONDS = 0.25
HISTORY_COLUMNS = ("checkpoint", "label", "confidence", "labels", "novelty", "classified_at")


class Recordings(BaseModel):
    items: list[dict[str, Any]] = Field(description="The columns of `clfd results`, and `id`.")
    next: str | None = Field(description="What to ask `after` for the rows behind; null: no more.")
    seen: int = Field(description="The newest event there is; for `seen` of a label.")


class Total(BaseModel):
    n: int
    is_exact: bool = Field(description="Otherwise there are at least so many.")


class Count(BaseModel):
    value: str | None
    n: int


class Clips(BaseModel):
    """Each list has a value for each label that is told of a clip, in time."""

    start_s: list[float]
    end_s: list[float]
    label: list[str]
    confidence: list[float]


class Part(BaseModel):
    start_s: float
    end_s: float | None = Field(description="null: to the end.")
    label: str


class Recording(BaseModel):
    """The columns of `clfd results`, and more."""

    model_config = ConfigDict(extra="allow")

    scores: dict[str, float] | None = Field(description="Label to probability.")
    seen: int = Field(description="The newest event there is; for `seen` of an answer.")
    clips: Clips
    parts: list[Part] = Field(description="What people say of parts of it.")
    history: list[dict[str, Any]] = Field(description="The answer of each checkpoint, in time.")


@router.get("/recordings")
def recordings(
    filters: AskedFilters,
    context: Context,
    sort: Sort = "newest",
    limit: Annotated[int, Query(ge=1, le=MAX_ROWS)] = 100,
    after: str | None = None,
) -> Recordings:
    """A page of the recordings that fit."""
    with context.reading() as connection:
        found = page(connection, filters, sort, limit, _key(after))
        seen = newest_number(connection)
    return Recordings(
        items=[item_of(one) for one in found.rows],
        next=None if found.after is None else _cursor(found.after),
        seen=seen,
    )


@router.get("/recordings/total")
def total(filters: AskedFilters, context: Context) -> Total:
    """How many fit; counted for a quarter of a second at most."""
    with context.reading() as connection:
        found = count_in_time(connection, filters, COUNT_SECONDS)
    return Total(n=found.n, is_exact=found.is_exact)


@router.get("/counts")
def counts(filters: AskedFilters, context: Context, by: Axis = "label") -> list[Count]:
    """How many recordings share a value: most first, but days in order."""
    with context.reading() as connection:
        return [Count(value=value, n=n) for value, n in count_by(connection, filters, by)]


@router.get("/recordings/{id}")
def recording(id: Annotated[int, Path(ge=1, le=2**63 - 1)], context: Context) -> Recording:
    """All there is about one."""
    rules = context.rules
    with context.reading() as connection:
        one = recording_with_clips(connection, id, rules)
        if one is None:
            raise Problem(404, f"there is no recording {id}")
        history, seen = history_of(connection, id, rules), newest_number(connection)
    spans = list(spans_of(one, ClipOptions(), Filters(rules=rules)))
    return Recording(
        **item_of(one),
        scores=one.scores(),
        seen=seen,
        clips=Clips(
            start_s=[span.start_s for span in spans],
            end_s=[span.end_s for span in spans],
            label=[span.label for span in spans],
            confidence=[round(span.confidence, 4) for span in spans],
        ),
        parts=[Part(start_s=start, end_s=end, label=label) for start, end, label in _parts(one)],
        history=[each.record(HISTORY_COLUMNS) for each in history],
    )


def _parts(one: Result) -> Iterator[tuple[float, float | None, str]]:
    for part in one.labelled_parts():
        yield part.start_s, part.end_s if isfinite(part.end_s) else None, part.label


def item_of(one: Result) -> dict[str, Any]:
    return {"id": one.id, **one.record(COLUMNS)}


def _cursor(key: PageKey) -> str:
    id, value = key
    shown = {"b": value.hex()} if isinstance(value, bytes) else value
    return base64.urlsafe_b64encode(json.dumps([id, shown]).encode()).decode()


def _key(cursor: str | None) -> PageKey | None:
    if not cursor:
        return None
    try:
        id, value = json.loads(base64.urlsafe_b64decode(cursor))
        if isinstance(value, dict):
            value = bytes.fromhex(value["b"])
        if not isinstance(id, int) or not isinstance(value, str | float | bytes | None):
            raise ValueError
    except (ValueError, TypeError, KeyError) as error:
        raise Problem(422, "after: take it from `next` of the page before") from error
    return id, value
