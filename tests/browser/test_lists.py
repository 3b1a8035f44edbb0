"""Live, Results, Activity and Help in a browser, by keys alone."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ledger_rows import EVIL, add, week_of_answers
from page_browser import opened, served, wait_until
from running_house import RunningHouse

from storage.database.tables import human_label
from storage.fleet.lease import Holder, Lease
from storage.home.paths import Home
from storage.ledger.ledger import Ledger

pytestmark = pytest.mark.browser

# What a view may take from the global keys: back out of what is open, and filters of its own.
MAY_SHADOW = {"Escape", "/"}
KEY_TABLES = """async () => {
  const { GLOBAL_KEYS } = await import("/static/core/keys.js");
  const { VIEWS } = await import("/static/views/views.js");
  const keys = (table) => table.map((one) => one.key);
  const views = Object.entries(VIEWS).map(([name, one]) => [name, keys(one.keys ?? [])]);
  return { global: keys(GLOBAL_KEYS), views: Object.fromEntries(views) };
}"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


@pytest.fixture
def ledger(home: Home) -> Iterator[Ledger]:
    with week_of_answers(home.root) as ledger:
        yield ledger


@pytest.fixture
def page(chromium: Any, home: Home, ledger: Ledger) -> Iterator[Any]:
    with served(home) as link:
        page = opened(chromium, link)
        yield page
        page.context.close()
        assert not page.faults


def test_live_shows_who_works_in_a_shared_ledger(page: Any, ledger: Ledger) -> None:
    wait_until(lambda: page.locator("dl.figures").count())
    assert page.locator("table.fleet").count() == 0
    member, silent = Lease(ledger.database, 30.0), Lease(ledger.database, 30.0)
    member.take(Holder("host:a", "reef", "/srv/clfd", 7, "1"))
    silent.take(Holder("host:b", EVIL, "/srv/<b>clfd", 8, "1"))
    member.beat({"in flight": 12, "files/s": 80.5}, "ab" * 32)
    silent.end()
    page.reload()
    wait_until(lambda: page.locator("table.fleet tbody tr").count() == 2)
    gone, works = page.locator("table.fleet tbody tr").all_inner_texts()
    assert works.split("\t") == [
        "reef:/srv/clfd",
        "live heard 0 s ago",
        "80.5",
        "12",
        "–",
        "abababab",
    ]
    assert "ended" in gone and page.locator("table.fleet b").count() == 0
    assert page.get_by_role("heading", name="1 daemon at work in this ledger").count() == 1


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_finds_nothing_serious_in_a_fleet_on_a_phone(
    chromium: Any, home: Home, ledger: Ledger, colours: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    Lease(ledger.database, 30.0).take(Holder("host:a", "reef", "/srv/clfd", 7, "1"))
    with served(home) as link:
        window = {"width": 390, "height": 844}
        page = opened(chromium, link, viewport=window, color_scheme=colours)
        page.locator("table.fleet").wait_for()
        found = Axe().run(page).response["violations"]
        assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        page.context.close()


def labels_in(ledger: Ledger) -> dict[str, tuple[str, str]]:
    """Label and way by the digest's last digit, which is the number of the recording."""
    with ledger.database.transaction() as connection:
        rows = connection.execute(human_label.select()).mappings()
        return {row["digest"][-1]: (row["label"], row["way"]) for row in rows}


def test_a_file_that_is_dropped_into_the_inbox_appears_in_live(
    chromium: Any, running: RunningHouse, audio_file: Callable[..., Path]
) -> None:
    with served(running.home) as link:
        page = opened(chromium, link)
        page.get_by_text("No recording yet").wait_for()
        shutil.copy(audio_file("bird <b>.wav"), running.home.inbox)
        row = page.locator("tr[data-id]", has_text="bird <b>.wav")
        row.wait_for()
        row.filter(has_text="1.0").or_(row.filter(has_text="0.")).wait_for()
        assert not page.faults
        page.context.close()


def test_what_is_held_does_not_move(page: Any, ledger: Ledger) -> None:
    page.locator("tr[data-id]").first.wait_for()
    page.keyboard.press("p")
    add(ledger, "new.wav", "dog")
    page.get_by_role("button", name="Go on (1 new)").wait_for()
    assert page.locator("tr[data-id]").count() == 6
    page.keyboard.press("p")
    page.locator("tr[data-id]", has_text="new.wav").wait_for()


def test_results_are_filtered_sorted_and_labelled_by_keys(page: Any, ledger: Ledger) -> None:
    page.keyboard.press("g")
    page.keyboard.press("r")
    rows = page.locator("tr[data-id]")
    rows.first.wait_for()
    page.keyboard.press("/")
    page.keyboard.type("dog")
    page.keyboard.press("Enter")
    page.get_by_text("3 of 3 recordings").wait_for()
    page.keyboard.press("Escape")
    page.get_by_label("sort").select_option("confidence")
    page.wait_for_url(re.compile("label=dog&sort=confidence"))
    rows.first.filter(has_text="yard/b.wav").wait_for()
    assert EVIL in rows.last.inner_text()
    page.evaluate("document.activeElement.blur()")
    for key in "jxjx":
        page.keyboard.press(key)
    page.get_by_text("2 selected").wait_for()
    page.keyboard.press("c")
    wait_until(lambda: labels_in(ledger) == {"1": ("dog", "bulk"), "2": ("dog", "bulk")})
    page.keyboard.press("l")
    page.keyboard.type("owl")
    page.keyboard.press("Enter")
    wait_until(lambda: labels_in(ledger)["1"] == ("owl", "looked"))
    rows.filter(has_text="✓ owl").wait_for()
    page.keyboard.press("u")
    wait_until(lambda: labels_in(ledger)["1"] == ("dog", "bulk"))


def test_all_that_fit_are_labelled_after_a_question(page: Any, ledger: Ledger) -> None:
    page.goto(f"{page.url.rpartition('/')[0]}/results?label=dog")
    page.get_by_text("3 of 3 recordings").wait_for()
    page.keyboard.press("Shift+*")
    page.keyboard.press("Shift+*")
    page.keyboard.press("1")
    page.get_by_role("heading", name="Label 3 recordings “dog”?").wait_for()
    page.get_by_role("button", name="Label all").click()
    page.get_by_text("u takes it back").wait_for()
    assert len(labels_in(ledger)) == 3
    page.keyboard.press("u")
    wait_until(lambda: not labels_in(ledger))


def test_a_brush_narrows_the_days(page: Any) -> None:
    page.goto(f"{page.url.rpartition('/')[0]}/results")
    days = page.get_by_role("img", name="days (UTC)")
    days.wait_for()
    box = days.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 14 * 1.5, box["y"] + 10)
    page.get_by_text("1 of 1 recording").wait_for()
    assert "since=2026-01-11" in page.url
    page.go_back()
    page.get_by_text("4 of 4 recordings").wait_for()


def test_filters_survive_an_edit_and_a_look_at_a_recording(page: Any, ledger: Ledger) -> None:
    page.goto(f"{page.url.rpartition('/')[0]}/results?unlabelled=true&label=dog")
    page.get_by_text("3 of 3 recordings").wait_for()
    for key in "jjc":
        page.keyboard.press(key)
    wait_until(lambda: len(labels_in(ledger)) == 1)
    assert page.locator("tr[data-id]").count() == 3  # what was labelled stays in sight
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/recording/"))
    page.go_back()
    page.get_by_text("2 of 2 recordings").wait_for()
    labelled = page.locator("label", has_text="otherwise than answered").locator("select")
    assert labelled.input_value() == "by nobody"
    assert page.locator("tr[aria-selected=true]").count() == 1


def test_an_export_is_a_file_with_what_fits(page: Any) -> None:
    page.goto(f"{page.url.rpartition('/')[0]}/results?label=siren")
    page.get_by_text("Export all that fit").click()
    page.get_by_text("clfd results --label=siren").wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="csv", exact=True).click()
    assert "c.wav" in download.value.path().read_text()


def test_a_period_is_pictured(page: Any) -> None:
    page.goto(f"{page.url.rpartition('/')[0]}/activity?since=2026-01-08&until=2026-01-15")
    page.get_by_role("heading", name="By day").wait_for()
    page.get_by_text("no audio").wait_for()


def test_keys_that_write_can_be_switched_off(page: Any) -> None:
    page.goto(f"{page.url.rpartition('/')[0]}/help")
    page.get_by_label("Keys that write").click()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("g")
    page.keyboard.press("l")
    page.keyboard.press("?")
    assert page.url.endswith("/help")
    assert page.locator("aside.keys").count() == 0


def test_keys_of_views_do_not_clash(page: Any) -> None:
    tables = page.evaluate(KEY_TABLES)
    assert {"live", "results", "activity", "help"} <= tables["views"].keys()
    for keys in tables["views"].values():
        assert len(keys) == len({*keys})
        assert {*keys} & {*tables["global"]} <= MAY_SHADOW


def test_a_scan_says_what_a_run_would_leave_out(page: Any, home: Home) -> None:
    (home.inbox / "notes.txt").write_text("none")
    page.get_by_role("button", name="Scan").click()
    page.locator("pre", has_text=".txt").wait_for()
