"""`/report`: a period in figures, and as the page that `clfd report` makes of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict

from storage.database.deadline import TakesLong, interrupted_at
from storage.home.checkpoint_folder import CheckpointFolder
from storage.queries.figures.period import period_figures
from storage.queries.filters import Filters
from storage.values.text import printable
from web.api.filters_query import moment_of
from web.server.clfd_process import output_of
from web.server.context import Context, PageContext
from web.server.problems import Problem

router = APIRouter(tags=["report"])

FRESH_SECONDS = 60.0
COUNT_SECONDS, MAKE_SECONDS = 20.0, 120.0
WAIT_SECONDS = 5.0  # for another report that is being made
KEPT = 8
PAGE_POLICY = (  # stricter than the page's own: nothing in it runs, or asks for anything
    "sandbox; default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Asked(BaseModel):
    """The options of `clfd report`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    since: str = "7d"
    until: str = "now"
    time: Literal["classified", "recorded"] = "classified"
    clips: bool = False


AskedPeriod = Annotated[Asked, Query()]
Make = Callable[[PageContext, Asked], Any]


class _Reports:
    """Made one at a time; whoever asks for the same within a minute gets the same."""

    def __init__(self, context: PageContext) -> None:
        self._context, self._lock = context, threading.Lock()
        self._made: dict[tuple[Make, Asked], tuple[float, Any]] = {}

    def of(self, make: Make, asked: Asked) -> Any:
        """Raises Problem."""
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            raise Problem(503, "another report is being made", {"Retry-After": "5"})
        try:
            made = self._made.get((make, asked))
            if made is None or time.monotonic() - made[0] > FRESH_SECONDS:
                made = time.monotonic(), make(self._context, asked)
                self._made.pop((make, asked), None)
                self._made[make, asked] = made
                while len(self._made) > KEPT:
                    del self._made[next(iter(self._made))]
            return made[1]
        finally:
            self._lock.release()


@router.get("/report")
def report(asked: AskedPeriod, context: Context) -> dict[str, Any]:
    """The figures of a period, nearly as `clfd report --json` has them."""
    found: dict[str, Any] = context.shared(_Reports).of(_figures, asked)
    return found


@router.get("/report.html", response_class=Response)
def report_page(asked: AskedPeriod, context: Context) -> Response:
    """The page that `clfd report` writes, to look at and to listen to."""
    page = context.shared(_Reports).of(_page, asked)
    headers = {"Content-Security-Policy": PAGE_POLICY}
    return Response(page, media_type="text/html; charset=utf-8", headers=headers)


def _figures(context: PageContext, asked: Asked) -> dict[str, Any]:
    settings = context.settings
    filters = Filters(
        since=moment_of("since", asked.since),
        until=moment_of("until", asked.until),
        by_recorded=asked.time == "recorded",
        rules=settings.results.display_rules,
    )
    inboxes = [printable(str(inbox)) for inbox in settings.inboxes]
    active = CheckpointFolder(context.home.checkpoints).active()
    deadline = time.monotonic() + COUNT_SECONDS
    try:
        with context.reading() as reading, interrupted_at(reading, deadline, time.monotonic):
            period = period_figures(reading, filters, inboxes, active, asked.clips)
    except TakesLong as error:
        sentence = f"this takes longer than {COUNT_SECONDS:g} s; ask for a shorter period"
        raise Problem(503, f"{sentence}, or `clfd report`") from error
    figures = period.as_json()
    del figures["ignored"]  # counted by a walk through the inboxes: the status has it
    return figures


def _page(context: PageContext, asked: Asked) -> str:
    with TemporaryDirectory(prefix="clfd-report-") as folder:
        page = Path(folder) / "report.html"
        options = [f"--since={asked.since}", f"--until={asked.until}", f"--time={asked.time}"]
        arguments = ["report", *options, *["--clips"] * asked.clips, f"--output={page}"]
        output_of(context.home, arguments, MAKE_SECONDS)
        return page.read_text(encoding="utf-8")
