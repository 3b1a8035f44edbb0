"""`/verify`: how often a label is right, and the threshold that follows."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from storage.labels.label_events import newest_number
from storage.queries.filters import Filters
from storage.queries.results import results_of
from storage.review.verification import verification_queue, verified
from storage.settings.writing import write_threshold
from web.api.labelling.queue_api import Queue, queued
from web.server.context import Context

router = APIRouter(tags=["verify"])

Label = Annotated[str, Query(min_length=1, max_length=200)]


class JudgedBin(BaseModel):
    low: float
    high: float
    n_answers: int
    n_judged: int
    n_right: int
    interval: tuple[float, float] | None = Field(description="Of the share that is right, 95 %.")


class Verdict(BaseModel):
    """Shares are weighted by how many answers each bin has."""

    n_judged: int
    right: float | None
    low: float | None
    high: float | None
    threshold: float | None = Field(description="The lowest that has the precision; null: none.")
    precision: float | None
    precision_low: float | None = Field(description="Holds in five cases of six.")
    bins: list[JudgedBin]


class NewThreshold(BaseModel):
    label: str = Field(min_length=1, max_length=200)
    threshold: float = Field(ge=0, le=1, allow_inf_nan=False)


class WrittenLine(BaseModel):
    line: str


@router.get("/verify/queue")
def queue(
    label: Label,
    context: Context,
    n: Annotated[int, Query(ge=1, le=500)] = 100,
    seed: Annotated[int, Query(ge=0, le=2**31)] = 0,
) -> Queue:
    """Clips with this label that nobody has labelled, evenly over all confidences."""
    with context.reading() as connection:
        seen = newest_number(connection)
        ids = verification_queue(connection, label, n, seed)
        rows = results_of(connection, ids, Filters(rules=context.rules), with_clips=True)
    return Queue(items=[queued(row, "", seen, label) for row in rows])


@router.get("/verify")
def verdict(
    label: Label,
    context: Context,
    precision: Annotated[float, Query(gt=0, lt=1, allow_inf_nan=False)] = 0.9,
) -> Verdict:
    """What was judged of a label so far."""
    with context.reading() as connection:
        found = verified(connection, label, precision)
    return Verdict.model_validate(found, from_attributes=True)


@router.post("/verify/threshold")
def write(body: NewThreshold, context: Context) -> WrittenLine:
    """Writes it into `results.thresholds` of clfd.toml."""
    return WrittenLine(line=write_threshold(context.home, body.label, body.threshold))
