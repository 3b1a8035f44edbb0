"""What Live, Results and Activity ask: each answer once, histograms, exports, the period."""

from __future__ import annotations

import csv
import gc
import io
from typing import Any, get_args

import psutil
import pytest
from ledger_rows import EVIL, add
from starlette.testclient import TestClient

from storage.database import deadline
from storage.export.text_formats import FORMATS, TABLE
from storage.fleet.lease import Holder, Lease
from storage.home.paths import Home
from storage.ledger.ledger import Ledger
from storage.queries.figures.histograms import histograms_in_time
from storage.queries.filters import Filters
from web.api import live_api
from web.api.export_api import ExportFormat
from web.api.filters_query import FilterQuery, options_of
from web.server.clfd_process import pieces_of
from web.server.problems import Problem

WEEK = "since=2026-01-08T00:00:00Z&until=2026-01-15T00:00:00Z"


def ask(page: TestClient, path: str) -> Any:
    answer = page.get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_live_begins_with_what_came_last(page: TestClient) -> None:
    paths = [one["path"] for one in ask(page, "live")["items"]]
    assert paths == ["a.wav", "yard/b.wav", EVIL, "c.wav", "bad.wav", "yard/bad.wav"]


def test_the_daemons_of_a_server_are_told_and_of_a_file_none(
    page: TestClient, ledger: Ledger
) -> None:
    Lease(ledger.database).take(Holder("host:a", "reef", "/srv/alone", 7, "1"))
    assert ask(page, "fleet") == []
    Lease(ledger.database, 30.0).take(Holder("host:b", "pond", "/srv/clfd", 8, "1"))
    (found,) = ask(page, "fleet")
    assert (found["host"], found["home"], found["state"]) == ("pond", "/srv/clfd", "live")


def test_each_answer_comes_once(page: TestClient, ledger: Ledger) -> None:
    position = ask(page, "live")["next"]
    add(ledger, "new.wav", "dog")
    add(ledger, "worse.wav", None)
    first = ask(page, f"live?after={position}")
    assert [one["status"] for one in first["items"]] == ["done", "failed"]
    assert ask(page, f"live?after={first['next']}")["items"] == []


def test_who_was_away_for_long_gets_the_newest_and_hears_of_the_others(
    page: TestClient, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_api, "MAX_ROWS", 2)
    position = ask(page, "live")["next"]
    for number in range(5):
        add(ledger, f"new{number}.wav", "dog")
    found = ask(page, f"live?after={position}")
    assert [one["path"] for one in found["items"]] == ["new3.wav", "new4.wav"]
    assert found["skipped"] == 3


@pytest.mark.parametrize("after", ["", "1", "-1--1", "1-x", "9" * 19 + "-1", "1-1 "])
def test_a_position_that_is_none_is_refused(page: TestClient, after: str) -> None:
    assert page.get("/api/v1/live", params={"after": after}).status_code == 422


def test_histograms_count_days_and_confidences(page: TestClient) -> None:
    found = ask(page, "histograms?label=dog")
    assert found["days"] == [{"value": "2026-01-10", "n": 3}]
    assert {at: n for at, n in enumerate(found["bins"]) if n} == {6: 1, 18: 1, 19: 1}
    assert found["are_days_exact"] and found["are_bins_exact"] and found["n_read"] == 3


def test_a_histogram_is_not_cut_by_the_bounds_that_it_sets(page: TestClient) -> None:
    found = ask(page, "histograms?min_confidence=0.8&since=2026-01-11")
    assert [day["n"] for day in found["days"]] == [2]
    assert sum(found["bins"]) == 1


def test_histograms_that_would_take_long_are_not_exact(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadline, "_TICK_STEPS", 1)  # looks at the clock at once
    clock = iter(range(10**6))
    with ledger.database.transaction() as connection:
        found = histograms_in_time(connection, Filters(min_level=-90.0), 0.0, lambda: next(clock))
    assert (found.are_days_exact, found.are_bins_exact) == (False, False)
    assert found.days == [("2026-01-10", 3), ("2026-01-11", 1)]
    assert found.n_read == 0


def test_options_are_those_of_the_command_line() -> None:
    query = FilterQuery(label=["a b", "c"], min_confidence=0.5, wrong=True, path="-x*", since="")
    assert options_of(query) == [
        *("--label=a b", "--label=c", "--min-confidence=0.5"),
        *("--path=-x*", "--wrong"),
    ]


def test_the_shown_command_can_be_pasted_into_a_shell(page: TestClient) -> None:
    found = ask(page, "recordings/command?path=yard/*&label=dog&sort=path")
    assert found == {"command": "clfd results --label=dog '--path=yard/*' --sort=path"}


def test_exports_have_every_format_of_the_command_line() -> None:
    assert {*get_args(ExportFormat)} == FORMATS.keys() - {TABLE.name}


def test_an_export_is_what_the_command_writes(page: TestClient) -> None:
    answer = page.get("/api/v1/recordings/export?label=dog&format=csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="clfd-results.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["path"] for row in rows] == [EVIL, "yard/b.wav", "a.wav"]


def test_what_the_command_refuses_the_export_refuses_in_its_words(page: TestClient) -> None:
    answer = page.get("/api/v1/recordings/export?status=failed&format=raven")
    assert answer.status_code == 409
    assert answer.json()["detail"].startswith("raven has its own columns")


def test_an_export_ends_with_whoever_reads_it(home: Home, ledger: Ledger) -> None:
    pieces = pieces_of(home, ["results", "--follow", "--format=jsonl", "--since=2026-01-01"])
    next(pieces)
    (process,) = [one for one in psutil.Process().children() if "--follow" in one.cmdline()]
    other = pieces_of(home, ["results", "--follow", "--format=csv"])
    with pytest.raises(Problem, match="busy with other exports"):
        pieces_of(home, ["results", "--format=csv"])
    del pieces, other
    gc.collect()
    psutil.wait_procs([process], timeout=10)
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_period_has_the_figures_of_the_report(page: TestClient) -> None:
    found = ask(page, f"report?{WEEK}")
    assert found["counts"] == {"done": 4, "failed": 2, "pending": 0}
    assert [(one["label"], one["number"]) for one in found["labels"]] == [("dog", 3), ("siren", 1)]
    assert found["failures"][0]["number"] == 2


def test_a_period_is_counted_once_a_minute(page: TestClient, ledger: Ledger) -> None:
    before = ask(page, f"report?{WEEK}")
    add(ledger, "new.wav", None)
    assert ask(page, f"report?{WEEK}") == before


def test_the_whole_report_can_run_nothing(page: TestClient) -> None:
    answer = page.get(f"/api/v1/report.html?{WEEK}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none';")
    assert EVIL not in answer.text
