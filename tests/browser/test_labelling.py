"""Labels that cannot be written, and labels of two people at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_browser import opened, served, wait_until
from page_recordings import made_home, record
from sqlalchemy import select

from storage.database.engine import open_database
from storage.database.tables import human_label
from storage.home.paths import Home
from web.server.sessions import Sessions

pytestmark = pytest.mark.browser

N_CLIPS = 6


@pytest.fixture
def home(tmp_path: Path, noise: Callable[..., np.ndarray]) -> Home:
    home = made_home(tmp_path / "home")
    for number in range(N_CLIPS):
        record(home, f"{number}.wav", noise(seconds=2.0, seed=number))
    return home


@pytest.fixture
def link(home: Home) -> Iterator[str]:
    with served(home) as link:
        yield link


def labels_in(home: Home) -> list[str]:
    with (
        open_database(f"sqlite:///{home.ledger_file}", "reader") as database,
        database.transaction() as connection,
    ):
        return sorted(connection.scalars(select(human_label.c.label)))


def label_view(chromium: Any, link: str) -> Any:
    page = opened(chromium, link)
    page.keyboard.press("g")
    page.keyboard.press("a")
    page.locator("section.clip canvas[data-painted]").wait_for()
    return page


def answer(page: Any, label: str) -> None:
    at = page.locator("section.clip").get_attribute("data-clip")
    page.keyboard.press("/")
    page.keyboard.type(label)
    page.keyboard.press("Enter")
    page.locator(f"section.clip[data-clip='{at}']").wait_for(state="detached")


def test_answers_without_a_server_are_kept_and_written_later(
    chromium: Any, link: str, home: Home
) -> None:
    page = label_view(chromium, link)
    answer(page, "owl")
    wait_until(lambda: labels_in(home) == ["owl"])
    page.context.set_offline(True)
    answer(page, "fox")
    answer(page, "cat")
    page.get_by_text("2 answers not written yet").wait_for()
    assert labels_in(home) == ["owl"]
    page.context.set_offline(False)
    wait_until(lambda: labels_in(home) == ["cat", "fox", "owl"])
    page.get_by_text("not written yet").wait_for(state="detached")
    page.context.close()


def test_what_was_not_written_outlives_the_tab(chromium: Any, link: str, home: Home) -> None:
    page = label_view(chromium, link)
    page.context.set_offline(True)
    answer(page, "owl")
    page.get_by_text("1 answer not written yet").wait_for()
    page.context.set_offline(False)
    page.goto(link.partition("/in#")[0] + "/live")
    wait_until(lambda: labels_in(home) == ["owl"])
    page.context.close()


def test_two_people_at_one_clip_see_both_answers(chromium: Any, link: str, home: Home) -> None:
    place = link.partition("/in#")[0]
    ada = label_view(chromium, link)
    bob_cookie = {"name": "clfd_session", "value": Sessions(home).new_session("bob")[0]}
    context = chromium.new_context()
    context.add_cookies([{**bob_cookie, "url": place}])
    bob = context.new_page()
    bob.goto(f"{place}/label")
    bob.locator("section.clip canvas[data-painted]").wait_for()
    answer(ada, "owl")
    wait_until(lambda: labels_in(home) == ["owl"])
    answer(bob, "fox")
    bob.get_by_text("before you").wait_for()
    assert labels_in(home) == ["owl"]
    bob.get_by_role("button", name="all the same").click()
    wait_until(lambda: labels_in(home) == ["fox"])
    bob.keyboard.press("u")
    wait_until(lambda: labels_in(home) == ["owl"])
    ada.context.close()
    context.close()
