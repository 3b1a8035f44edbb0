"""Pages and counts of a ledger of some size: the same as without any haste, and by an index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from sqlalchemy import Connection, func, update

from benchmarks.big_ledger import FOLDERS, LABELS, fill_ledger
from storage.database.engine import open_database
from storage.database.tables import recording
from storage.export.registry import Listing, foot_of
from storage.home.paths import Home
from storage.ledger.counters import wrong_figures
from storage.queries import glancing, paging
from storage.queries.counts import count, count_by
from storage.queries.filters import Filters, Sort
from storage.queries.glancing import glance
from storage.queries.results import results
from storage.settings.loading import load_settings

ROWS = 4_000
DAYS = ("2026-01-01", "2026-01-20", "2026-02-14", "2026-02-15", "2026-03-31", "2026-04-30")
STAMPS = some.none() | some.builds(
    "{}T{:02}:{:02}:00.000Z".format, some.sampled_from(DAYS), some.integers(0, 23), some.just(7)
)
BOUNDS = some.none() | some.sampled_from((0.0, 0.3, 0.31, 0.5, 0.9, 0.999, 1.0))
GLOBS = some.none() | some.sampled_from(
    ("site003/*", "site0*", "*7.wav", "/*/site01?/*", "site[01]05/*", "\\\\*", "none/*")
)
ASKED = some.builds(
    Filters,
    status=some.sampled_from(("done", "failed", "pending", "superseded", "all")),
    labels=some.lists(some.sampled_from((*LABELS, "bear")), max_size=3, unique=True).map(tuple),
    min_confidence=BOUNDS,
    max_confidence=BOUNDS,
    since=STAMPS,
    until=STAMPS,
    path=GLOBS,
    checkpoint=some.none() | some.sampled_from(("2026", "20260101", "bbbb", "none")),
)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = Home(tmp_path_factory.mktemp("home"))
    wanted = load_settings(home, environ={})
    fill_ledger(wanted, ROWS)
    began = update(recording).values(recorded_at=func.substr(recording.c.first_seen_at, 1, 19))
    with open_database(wanted.database, "editor") as database, database.transaction() as writing:
        writing.execute(began)
    yield wanted.database


@pytest.fixture
def reading(ledger: str) -> Iterator[Connection]:
    with open_database(ledger, "reader") as database, database.transaction() as connection:
        yield connection


def test_the_ledger_that_is_measured_is_sound(ledger: str) -> None:
    with open_database(ledger, "reader") as database:
        assert database.problems() == []
        assert list(wrong_figures(database)) == []


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    filters=ASKED,
    sort=some.sampled_from(("newest", "oldest", "confidence", "path")),
    limit=some.sampled_from((1, 10, 500)),
    look=some.sampled_from((5, 100, 10_000)),
)
def test_a_page_is_the_beginning_of_the_whole_list(
    reading: Connection, filters: Filters, sort: Sort, limit: int, look: int
) -> None:
    whole = [result.id for result in results(reading, filters, sort)]
    before, paging._LOOK = paging._LOOK, look
    try:
        assert [r.id for r in results(reading, filters, sort, limit)] == whole[:limit]
    finally:
        paging._LOOK = before
    assert count(reading, filters) == len(whole)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(filters=ASKED)
def test_counts_along_every_axis_add_up(reading: Connection, filters: Filters) -> None:
    n = count(reading, filters)
    for axis in ("label", "status", "checkpoint", "day", "folder"):
        assert sum(number for _, number in count_by(reading, filters, axis)) == n  # type: ignore[arg-type]


def test_every_folder_is_counted(reading: Connection) -> None:
    counts = dict(count_by(reading, Filters(status="all"), "folder"))
    assert len(counts) == FOLDERS
    folder = replace(Filters(status="all"), path="site003/*")
    assert counts["site003"] == count(reading, folder) == len(list(results(reading, folder)))


def test_a_foot_that_would_take_long_says_at_least(
    reading: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glancing, "_QUICK", 0)
    filters = Filters(min_confidence=0.5)
    whole = count(reading, filters)
    assert str(glance(reading, filters, clock=lambda: 0.0)) == str(whole)
    hurried = glance(reading, filters, clock=iter(range(100)).__next__)
    assert str(hurried) == f"at least {hurried.n}"
    assert hurried.n < whole


@pytest.mark.parametrize("latest", [50, ROWS * 2])
def test_a_foot_of_when_recordings_began_counts_the_latest(
    reading: Connection, monkeypatch: pytest.MonkeyPatch, latest: int
) -> None:
    monkeypatch.setattr(glancing, "_QUICK", 0)
    monkeypatch.setattr(glancing, "_LATEST", latest)
    filters = Filters(by_recorded=True, since="2020-01-01T00:00:00.000Z")
    told, whole = glance(reading, filters), count(reading, filters)
    assert told.n == whole if told.is_all else told.n <= min(latest, whole)
    assert told.is_all is (latest > ROWS)
    assert whole


def test_a_foot_counts_no_fewer_than_stand_above_it(
    reading: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(glancing, "_QUICK", 0)
    monkeypatch.setattr(glancing, "_SECONDS", -1)
    listing = Listing(Filters(min_confidence=0.5), limit=10)
    assert foot_of(reading, listing, shown=10).startswith("10 of at least 10 done")
    assert foot_of(reading, listing, shown=9).startswith("9 of 9 done")
