"""Pages and counts of a ledger of some size: the same as without any haste, and by an index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from sqlalchemy import Connection, func, update

from benchmarks.big_ledger import FOLDERS, LABELS, fill_ledger
from storage.database.engine import open_database
from storage.database.tables import recording
from storage.export import results_remarks
from storage.export.results_remarks import foot_of
from storage.export.results_request import ResultsRequest
from storage.export.results_source import LedgerSource
from storage.home.paths import Home
from storage.ledger.tallies import tally_errors
from storage.queries import counts, page_index
from storage.queries.counts import count, count_by, count_in_time
from storage.queries.filters import Filters, Sort
from storage.queries.results import page, results
from storage.settings.loading import load_settings
from storage.values.decision import DisplayRules

ROWS = 2_000
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
def ledger(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    if request.config.getoption("postgresql"):
        pytest.skip("it is filled as a file")
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
        assert list(tally_errors(database)) == []


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    filters=ASKED,
    sort=some.sampled_from(("newest", "oldest", "confidence", "path")),
    limit=some.sampled_from((1, 10, 500)),
    look=some.sampled_from((5, 100, 10_000)),
)
def test_pages_make_up_the_whole_list(
    reading: Connection, filters: Filters, sort: Sort, limit: int, look: int
) -> None:
    """Whatever a look into the indexes finds, and with it which index is read."""
    whole = [result.id for result in results(reading, filters, sort)]
    with mock.patch.object(page_index, "_LOOK", look):
        assert [r.id for r in results(reading, filters, sort, limit)] == whole[:limit]
        first = page(reading, filters, sort, limit)
        assert [row.id for row in first.rows] == whole[:limit]
        assert (first.after is None) is (len(whole) <= limit)
        if first.after is not None:
            second = page(reading, filters, sort, limit, first.after)
            assert [row.id for row in second.rows] == whole[limit : 2 * limit]
    assert count(reading, filters) == len(whole)


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(filters=ASKED)
def test_counts_along_every_axis_add_up(reading: Connection, filters: Filters) -> None:
    n = count(reading, filters)
    for axis in ("label", "status", "checkpoint", "day", "folder", "site"):
        assert sum(number for _, number in count_by(reading, filters, axis)) == n  # type: ignore[arg-type]


def test_every_folder_is_counted(reading: Connection) -> None:
    counts = dict(count_by(reading, Filters(status="all"), "folder"))
    assert len(counts) == FOLDERS
    folder = replace(Filters(status="all"), path="site003/*")
    assert counts["site003"] == count(reading, folder) == len(list(results(reading, folder)))


def test_sites_are_first_folders_or_what_a_pattern_finds(reading: Connection) -> None:
    filters = Filters(status="all", rules=DisplayRules(site_pattern=r"^site(?P<site>\d\d)"))
    folders = dict(count_by(reading, filters, "folder"))
    assert dict(count_by(reading, Filters(status="all"), "site")) == folders
    tens = dict(count_by(reading, filters, "site"))
    assert tens["00"] == sum(n for name, n in folders.items() if f"{name}".startswith("site00"))
    assert sum(tens.values()) == sum(folders.values())


EQUALS = ("newest", "oldest", "confidence", "path")


@pytest.mark.parametrize("sort", EQUALS)
def test_pages_go_through_equals_and_what_has_no_value(ledger: str, sort: Sort) -> None:
    with open_database(ledger, "editor") as database, database.transaction() as connection:
        rounded = update(recording).values(
            confidence=func.round(recording.c.confidence, 1), answered_at="2026-01-01T00:00:00.000Z"
        )
        saved = connection.begin_nested()
        connection.execute(rounded)
        filters = Filters(status="all", path="site00*")
        whole = [result.id for result in results(connection, filters, sort)]
        first = page(connection, filters, sort, 7)
        found, after = [row.id for row in first.rows], first.after
        while after is not None:
            some = page(connection, filters, sort, 7, after)
            found += [row.id for row in some.rows]
            after = some.after
        assert found == whole
        saved.rollback()


def test_a_foot_counts_to_a_limit(reading: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    filters = Filters(min_confidence=0.5)
    whole = count(reading, filters)
    assert str(count_in_time(reading, filters, float("inf"))) == str(whole)
    monkeypatch.setattr(counts, "_LIMITS", (1, whole - 1))
    assert str(count_in_time(reading, filters, float("inf"))) == f"at least {whole - 1}"


def test_a_foot_that_would_take_long_says_at_least(reading: Connection) -> None:
    seconds = iter(range(1000))
    hurried = count_in_time(reading, Filters(min_confidence=0.5), 2.0, clock=seconds.__next__)
    assert str(hurried) == f"at least {hurried.n}"


def test_a_foot_counts_no_fewer_than_stand_above_it(
    reading: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results_remarks, "FOOT_SECONDS", -1)
    monkeypatch.setattr(counts, "_LIMITS", (100_000,))
    request = ResultsRequest(Filters(min_confidence=0.5), limit=10)
    assert foot_of(LedgerSource(reading), request, shown=10).startswith("10 of at least 10 done")
    assert foot_of(LedgerSource(reading), request, shown=9).startswith("9 of 9 done")
