"""The page over a large ledger: the first row in a browser, and pages at the server.

python -m benchmarks.page --rows 1000000 --ledger DIR

fills a home at DIR, or reuses what lies there (see `benchmarks.big_ledger`), serves it, and prints
a table. The browser is Chromium; without playwright only the server is measured.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from urllib.parse import urlencode

import click
import numpy as np
import psutil

from benchmarks.big_ledger import CHECKPOINTS, fill_ledger
from storage.home.paths import Home
from storage.settings.loading import load_settings
from web.server.addresses import NAME
from web.server.sessions import Sessions

API = "/api/v1"
PAGES = 20  # of 100 rows, one after the other
REPEATS = 15  # of a question, and of opening the page
PORT = 8599
FILTERS: dict[str, dict[str, object]] = {
    "none": {},
    "label, common": {"label": "blackbird"},
    "label, rare": {"label": "woodpecker"},
    "two labels": {"label": ["woodpecker", "wind"]},
    "min_confidence 0.9": {"min_confidence": 0.9},
    "max_confidence 0.35": {"max_confidence": 0.35},
    "since, two weeks": {"since": "2026-03-15"},
    "until, a month in": {"until": "2026-02-01"},
    "path site003/*": {"path": "site003/*"},
    "checkpoint": {"checkpoint": CHECKPOINTS[0]},
    "status failed": {"status": "failed"},
    "status all": {"status": "all"},
    "label and min_confidence": {"label": "wind", "min_confidence": 0.9},
}
SORTS = ("newest", "confidence", "path")
OTHERS = {
    "histograms": "histograms",
    "histograms of min_confidence 0.9": "histograms?min_confidence=0.9",
    "total of min_confidence 0.9": "recordings/total?min_confidence=0.9",
    "labels/known": "labels/known",
    "live": "live",
    "status": "status",
}


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, help="Recordings to fill in.")
@click.option("--ledger", type=click.Path(path_type=Path), required=True, help="A home.")
def main(rows: int, ledger: Path) -> None:
    """Measures this checkout on this machine."""
    home = Home(ledger)
    if not home.ledger_file.exists():
        home.create()
        fill_ledger(load_settings(home, environ={}), rows)
    with _served(home) as page:
        click.echo("| what | median | 95th percentile | CPU time of the page |\n|---|---|---|---|")
        began = _cpu_seconds(page)
        for what, seconds in chain(_first_row(home), _of_server(home)):
            middle, high = 1000 * np.percentile(seconds, (50, 95))
            used = 1000 * (_cpu_seconds(page) - began) / len(seconds)
            click.echo(f"| {what} | {middle:.0f} ms | {high:.0f} ms | {used:.0f} ms |")
            began = _cpu_seconds(page)


def _cpu_seconds(page: psutil.Process) -> float:
    """What a busy machine does not change; clocks tick a hundred times a second."""
    times = page.cpu_times()
    return times.user + times.system


def _first_row(home: Home) -> Iterator[tuple[str, list[float]]]:
    """From the beginning of the navigation, with nothing in the browser's cache."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return
    cookie = {"name": "clfd_session", "value": Sessions(home).new_session("bench")[0]}
    address = f"http://{NAME}:{PORT}"
    seconds = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        for _ in range(REPEATS):
            context = chromium.new_context()
            context.add_cookies([{**cookie, "url": address}])
            page = context.new_page()
            page.add_init_script(_NOTE_FIRST_ROW)
            page.goto(f"{address}/results")
            page.locator("tr[data-id]").first.wait_for()
            seconds.append(page.evaluate("window.firstRow") / 1000)
            context.close()
    yield "first row of Results on a cold page", seconds


_NOTE_FIRST_ROW = """
addEventListener("DOMContentLoaded", () => new MutationObserver(() => {
  if (document.querySelector("tr[data-id]")) window.firstRow ??= performance.now();
}).observe(document, { childList: true, subtree: true }));
"""


def _of_server(home: Home) -> Iterator[tuple[str, list[float]]]:
    """By http on this machine, the answer read to its end."""
    client = _Client(home)
    for what, filters in FILTERS.items():
        for sort in SORTS:
            yield f"next 100 rows, {what}, by {sort}", list(client.pages({**filters, "sort": sort}))
    for what, path in OTHERS.items():
        yield what, [client.seconds(path) for _ in range(REPEATS)]


class _Client:
    def __init__(self, home: Home) -> None:
        token = Sessions(home).new_session("bench")[0]
        self._headers = {"Authorization": f"Bearer {token}", "Host": f"localhost:{PORT}"}
        self._connection = http.client.HTTPConnection("127.0.0.1", PORT)

    def seconds(self, path: str) -> float:
        began = time.perf_counter()
        self.ask(path)
        return time.perf_counter() - began

    def ask(self, path: str) -> dict[str, object]:
        self._connection.request("GET", f"{API}/{path}", headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise click.ClickException(body.decode())
        found: dict[str, object] = json.loads(body)
        return found

    def pages(self, query: dict[str, object]) -> Iterator[float]:
        after: object = None
        for _ in range(PAGES):
            asked = query if after is None else {**query, "after": after}
            began = time.perf_counter()
            found = self.ask(f"recordings?{urlencode(asked, doseq=True)}")
            yield time.perf_counter() - began
            after = found["next"]
            if after is None:
                break


@contextmanager
def _served(home: Home) -> Iterator[psutil.Process]:
    words = ["-m", "clfd", f"--home={home.root}", "web", f"--listen=127.0.0.1:{PORT}"]
    environ = os.environ | {"PYTHONUNBUFFERED": "1"}
    page = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, env=environ)
    try:
        assert page.stdout is not None
        page.stdout.readline()
        yield psutil.Process(page.pid)
    finally:
        page.terminate()
        page.wait()


if __name__ == "__main__":
    main()
