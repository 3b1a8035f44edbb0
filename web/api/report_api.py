"""`/report`: a period in figures, and as the page that `clfd report` makes of it."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict

from web.server.clfd_process import output_of
from web.server.context import Context, PageContext
from web.server.problems import Problem

router = APIRouter(tags=["report"])

FRESH_SECONDS = 60.0
MAKE_SECONDS = 120.0
WAIT_SECONDS = 5.0  # for another report that is being made
KEPT = 4
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
    no_audio: bool = True

    def words(self) -> list[str]:
        flags = ["--clips"] * self.clips + ["--no-audio"] * self.no_audio
        return [f"--since={self.since}", f"--until={self.until}", f"--time={self.time}", *flags]


AskedPeriod = Annotated[Asked, Query()]


class _Reports:
    """Made one at a time; whoever asks for the same within a minute gets the same."""

    def __init__(self, context: PageContext) -> None:
        self._home, self._lock = context.home, threading.Lock()
        self._made: dict[Asked, tuple[float, str, str]] = {}

    def of(self, asked: Asked) -> tuple[str, str]:
        """The figures as JSON, and the page. Raises Problem."""
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            raise Problem(503, "another report is being made", {"Retry-After": "5"})
        try:
            made = self._made.get(asked)
            if made is None or time.monotonic() - made[0] > FRESH_SECONDS:
                made = self._made[asked] = (time.monotonic(), *self._make(asked))
                while len(self._made) > KEPT:
                    del self._made[next(iter(self._made))]
            return made[1:]
        finally:
            self._lock.release()

    def _make(self, asked: Asked) -> tuple[str, str]:
        with TemporaryDirectory(prefix="clfd-report-") as folder:
            page = Path(folder) / "report.html"
            words = ["report", "--json", *asked.words(), f"--output={page}"]
            figures = output_of(self._home, words, MAKE_SECONDS)
            return figures, page.read_text(encoding="utf-8")


@router.get("/report")
def report(asked: AskedPeriod, context: Context) -> dict[str, Any]:
    """The figures of a period: what `clfd report --json` prints."""
    figures: dict[str, Any] = json.loads(context.shared(_Reports).of(asked)[0])
    return {name: value for name, value in figures.items() if name != "report"}


@router.get("/report.html", response_class=Response)
def report_page(asked: AskedPeriod, context: Context) -> Response:
    """The same as one page to look at and, with `no_audio=false`, to listen to."""
    page = context.shared(_Reports).of(asked)[1]
    headers = {"Content-Security-Policy": PAGE_POLICY}
    return Response(page, media_type="text/html; charset=utf-8", headers=headers)
