"""`/histograms`: days and confidences of what fits, to choose from."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field

from storage.queries.histograms import histograms_in_time
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


@router.get("/histograms")
def histograms(filters: AskedFilters, context: Context) -> Histograms:
    """What fits, by day and by confidence, without its own bounds, in half a second at most."""
    with context.reading() as connection:
        found = histograms_in_time(connection, filters, COUNT_SECONDS)
    days = [Count(value=day, n=n) for day, n in found.days]
    return Histograms(**{**vars(found), "days": days})
