"""What other sites in the same browser can do to the page: nothing."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ledger_rows import EVIL, week_of_answers
from page_browser import CHROMIUM, opened, served

from storage.home.paths import Home

pytestmark = pytest.mark.browser

# What a page of somebody else tries, and whether it got an answer.
FORGE = """async (page) => {
  const pause = `${page}/api/v1/daemon/pause`;
  const asks = { method: "POST", credentials: "include" };
  const json = { ...asks, headers: { "Content-Type": "application/json" }, body: "{}" };
  const script = document.createElement("script");
  script.src = `${page}/static/main.js`;
  const tries = {
    simple: () => fetch(pause, { ...asks, mode: "no-cors" }),
    json: () => fetch(pause, json),
    read: () => fetch(`${page}/api/v1/status`, { credentials: "include" }),
    script: () => new Promise((done, fail) => {
      script.onload = done;
      script.onerror = fail;
      document.head.append(script);
    }),
  };
  const results = {};
  for (const [name, attempt] of Object.entries(tries)) {
    results[name] = await attempt().then(() => "answered", () => "refused");
  }
  return results;
}"""
FRAME = """(page) => new Promise((done) => {
  const frame = document.createElement("iframe");
  frame.src = page;
  frame.onload = done;
  document.body.append(frame);
})"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "home")
    home.create()
    with week_of_answers(home.root):
        yield home


@pytest.fixture
def link(chromium: Any, home: Home) -> Iterator[str]:
    with served(home) as link:
        yield link


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[str]:
    """A site of somebody else, on this machine too."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text("<!doctype html><title>evil</title><body>")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


def test_another_site_changes_and_reads_nothing(
    chromium: Any, link: str, elsewhere: str, home: Home
) -> None:
    page = opened(chromium, link)
    other = page.context.new_page()
    other.goto(elsewhere)
    found = other.evaluate(FORGE, link.split("/in")[0])
    page.context.close()
    assert found == {"simple": "refused", "json": "refused", "read": "refused", "script": "refused"}
    assert not home.pause_file.exists()


def test_another_site_cannot_frame_the_page(chromium: Any, link: str, elsewhere: str) -> None:
    page = opened(chromium, link)
    other = page.context.new_page()
    other.goto(elsewhere)
    said: list[str] = []
    other.on("console", lambda message: said.append(message.text))
    other.evaluate(FRAME, link.split("/in")[0])
    page.context.close()
    assert any("frame-ancestors" in text for text in said)


def test_a_name_that_is_turned_to_this_machine_gets_nothing(chromium: Any, link: str) -> None:
    port = link.split("/in")[0].rpartition(":")[2]
    mapped = chromium.browser_type.launch(
        executable_path=CHROMIUM, args=["--host-resolver-rules=MAP evil.example 127.0.0.1"]
    )
    page = mapped.new_page()
    paths = ("/", "/static/main.js", "/api/v1/status")
    found = [page.goto(f"http://evil.example:{port}{path}").status for path in paths]
    mapped.close()
    assert found == [421, 421, 421]


def test_a_name_with_html_is_shown_as_text(chromium: Any, link: str) -> None:
    page = opened(chromium, link)
    page.goto(f"{link.split('/in')[0]}/results")
    page.get_by_text(EVIL, exact=False).first.wait_for()
    assert page.evaluate("document.querySelectorAll('main script, main img').length") == 0
    page.context.close()
    assert not page.faults


def test_a_link_opens_once(chromium: Any, link: str) -> None:
    opened(chromium, link).context.close()
    page = chromium.new_context().new_page()
    page.goto(link)
    page.get_by_role("alert").wait_for()
    assert "this link was used or is old" in page.get_by_role("alert").inner_text()
    page.context.close()
