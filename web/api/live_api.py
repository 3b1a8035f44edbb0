"""`/live`: answers, failures and arrivals, as they come."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from storage.queries.filters import Filters
from storage.queries.results import Position, newest_position, page, results_after
from web.api.recordings_api import item_of
from web.server.context import Context

router = APIRouter(tags=["live"])

MAX_ROWS = 200  # of answers, and of arrivals; who was away for longer looks at the results
FIRST_ROWS = 50


class Live(BaseModel):
    items: list[dict[str, Any]] = Field(
        description="As `recordings` has them, in the order in which they came. What waits comes"
        " again with the same `id` when it is answered."
    )
    next: str = Field(description="What to ask `after` the next time.")
    skipped: int = Field(description="How many answers came besides, and are not listed.")


@router.get("/live")
def live(
    context: Context,
    after: Annotated[str | None, Query(pattern=r"^\d{1,18}-\d{1,18}$")] = None,
) -> Live:
    """What came behind a position, each once; without one, the newest there are."""
    filters, skipped = Filters("all", rules=context.rules), 0
    with context.reading() as connection:
        newest = newest_position(connection)
        if after is None:
            rows = page(connection, filters, limit=FIRST_ROWS).rows[::-1]
        else:
            asked = Position(*map(int, after.split("-")))
            first = Position(
                *(max(at, end - MAX_ROWS) for at, end in zip(asked, newest, strict=True))
            )
            skipped = first.answer - asked.answer
            rows = results_after(connection, filters, first)
    items = [item_of(one) for one in rows]
    return Live(items=items, next=f"{newest.recording}-{newest.answer}", skipped=skipped)
