"""`/histograms` and `/labels/known`: what there is to choose from."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from storage.home.checkpoint_folder import CheckpointFolder
from storage.labels.known_labels import known_labels
from storage.queries.counts import count_by
from storage.queries.filters import Filters
from storage.queries.histograms import histograms_in_time
from storage.values.decision import DisplayRules
from web.api.filters_query import AskedFilters
from web.api.recordings_api import COUNT_SECONDS, Count
from web.server.context import Context

router = APIRouter(tags=["recordings"])


class Histograms(BaseModel):
    days: list[Count] = Field(description="Recordings a day of UTC, in order.")
    are_days_exact: bool = Field(
        description="Otherwise other filters than status and label were left out."
    )
    bins: list[int] = Field(description="Recordings in equal steps of confidence from 0 to 1.")
    are_bins_exact: bool = Field(description="Otherwise the newest `n_read` alone are counted.")
    n_read: int


class KnownLabel(BaseModel):
    label: str
    n: int = Field(description="How many answers of the active checkpoint have it.")


@router.get("/histograms")
def histograms(filters: AskedFilters, context: Context) -> Histograms:
    """What fits, by day and by confidence, without its own bounds, in half a second at most."""
    with context.reading() as connection:
        found = histograms_in_time(connection, filters, COUNT_SECONDS)
    days = [Count(value=day, n=n) for day, n in found.days]
    return Histograms(**{**vars(found), "days": days})


@router.get("/labels/known")
def labels(context: Context) -> list[KnownLabel]:
    """Labels that exist, by how often the active checkpoint gave them; then all others."""
    active = CheckpointFolder(context.home.checkpoints).active()
    stored = Filters(checkpoint=active, rules=DisplayRules(one_label=True))  # the tallies know
    with context.reading() as connection:
        given = {label: n for label, n in count_by(connection, stored, "label") if label}
        known = known_labels(connection, active)
    names = sorted(known | {*given}, key=lambda name: (-given.get(name, 0), name))
    return [KnownLabel(label=name, n=given.get(name, 0)) for name in names]
