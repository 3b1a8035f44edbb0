"""`/daemon`, `/retry` and `/rescore`: what `clfd service`, `scan`, `retry` and `rescore` do."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import select

from storage.database.tables import recording
from storage.ledger.queue import retry_rows
from storage.queries.filters import clauses
from storage.values.timestamps import utc_now
from web.api.filters_query import FilterQuery, asked_filters, options_of
from web.server.clfd_process import notes_of, output_of
from web.server.context import Context, PageContext
from web.server.problems import Problem

router = APIRouter(tags=["daemon"])

QUICK_SECONDS, RELOAD_SECONDS, LONG_SECONDS = 30.0, 90.0, 300.0
MAX_NAMED = 500  # recordings in one request


class Told(BaseModel):
    lines: list[str] = Field(description="What the command says.")


class RetryWhat(BaseModel):
    """Of the recordings that failed, those that fit, or those of these numbers."""

    filters: FilterQuery | None = None
    ids: Annotated[list[int], Field(max_length=MAX_NAMED)] = []


class RescoreWhat(FilterQuery):
    """The options of `clfd rescore`."""

    stale: bool = False
    dry_run: bool = False


@router.post("/daemon/pause")
def pause(context: Context) -> Told:
    """Holds the intake, also over a restart."""
    return _told(context, ["service", "pause"], QUICK_SECONDS)


@router.post("/daemon/resume")
def resume(context: Context) -> Told:
    """Releases the intake."""
    return _told(context, ["service", "resume"], QUICK_SECONDS)


@router.post("/daemon/reload")
def reload(context: Context) -> Told:
    """Has the daemon read its settings again; waits for its answer."""
    return _told(context, ["reload"], RELOAD_SECONDS)


@router.post("/daemon/scan")
def scan(context: Context) -> Told:
    """What a run would take, wait for and ignore; nothing is done to it."""
    return Told(lines=output_of(context.home, ["scan"], LONG_SECONDS).splitlines())


@router.post("/retry")
def retry(what: RetryWhat, context: Context) -> Told:
    """Queues failed recordings again, as `clfd retry`."""
    fit = [recording.c.state == "failed", recording.c.id.in_(what.ids)]
    if what.filters is not None:
        fit[1:] = clauses(asked_filters(what.filters, context).with_status("failed"))
    with context.database("editor").transaction() as connection:
        found = connection.execute(select(recording.c.id).where(*fit)).scalars().all()
        retry_rows(connection, found, utc_now())
    if not found:
        raise Problem(409, "no failed recording matches")
    return Told(lines=[f"queued {len(found)} again"])


@router.post("/rescore")
def rescore(what: RescoreWhat, context: Context) -> Told:
    """Queues answered recordings for the active checkpoint."""
    return _told(context, ["rescore", *options_of(what)], LONG_SECONDS)


def _told(context: PageContext, arguments: list[str], seconds: float) -> Told:
    return Told(lines=notes_of(context.home, arguments, seconds))
