"""`/daemon`, `/retry` and `/rescore`: what `clfd service`, `scan`, `retry` and `rescore` do."""

from __future__ import annotations

import os
from typing import Annotated, Self

from fastapi import APIRouter
from pydantic import BaseModel, Field, model_validator
from sqlalchemy import select

from storage.database.tables import inbox, recording
from storage.ledger.ledger import open_ledger
from web.api.filters_query import FilterQuery, options_of
from web.server.clfd_process import notes_of, output_of
from web.server.context import Context, PageContext
from web.server.problems import Problem

router = APIRouter(tags=["daemon"])

QUICK_SECONDS, RELOAD_SECONDS, LONG_SECONDS = 30.0, 90.0, 300.0
MAX_NAMED = 500  # recordings in one request


class Told(BaseModel):
    lines: list[str] = Field(description="What the command says.")


class RetryWhat(BaseModel):
    """One of them."""

    failed: bool = Field(default=False, description="All that failed.")
    paths: Annotated[list[str], Field(max_length=MAX_NAMED)] = Field(
        default=[], description="Files, folders or globs, as for `clfd retry`."
    )
    ids: Annotated[list[int], Field(max_length=MAX_NAMED)] = []

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if sum(map(bool, (self.failed, self.paths, self.ids))) != 1:
            raise ValueError("say what to retry: either failed, or paths, or ids")
        return self


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
    """Queues failed recordings again."""
    with open_ledger(context.settings.database, "editor") as ledger:
        queued = ledger.requeue_failed(_patterns(what, context))
    if not queued:
        raise Problem(409, "no failed recording matches")
    return Told(lines=[f"queued {queued} again"])


@router.post("/rescore")
def rescore(what: RescoreWhat, context: Context) -> Told:
    """Queues answered recordings for the active checkpoint."""
    return _told(context, ["rescore", *options_of(what)], LONG_SECONDS)


def _patterns(what: RetryWhat, context: PageContext) -> list[bytes] | None:
    if what.failed:
        return None
    if what.paths:
        try:
            return [os.fsencode(path) for path in what.paths]
        except UnicodeError as error:
            raise Problem(422, f"paths: {error}") from error
    columns = select(inbox.c.path, recording.c.path).join_from(recording, inbox)
    with context.reading() as connection:
        found = connection.execute(columns.where(recording.c.id.in_(what.ids)))
        return [b"/".join(row) for row in found]


def _told(context: PageContext, words: list[str], seconds: float) -> Told:
    return Told(lines=notes_of(context.home, words, seconds))
