"""What is asked of clips: label, confidence and time, in rows, counts and field formats alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from ledger_rows import DOG, RAIN, SIREN, add_clips
from sqlalchemy import Connection

from storage.database.engine import open_database
from storage.ledger.ledger import open_ledger
from storage.queries.clips import ClipOptions
from storage.queries.counts import count_clips_by
from storage.queries.filters import Axis, Filters
from storage.queries.results import recordings_with_clips, results
from storage.values.decision import DisplayRules

EVENING, NIGHT, UNDATED = "pond/20260131_235950.wav", "roof/a/20260201_010000.wav", "c.wav"
UTC_RULES = DisplayRules(zone="UTC")
ONE = ClipOptions()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three recordings that are called rain as a whole, two of which tell when they began."""
    url = f"sqlite:///{tmp_path_factory.mktemp('clips') / 'clfd.db'}"
    with open_ledger(url, "daemon") as ledger:
        add_clips(ledger, EVENING, [DOG, SIREN, SIREN, RAIN])
        add_clips(ledger, NIGHT, [SIREN, DOG])
        add_clips(ledger, UNDATED, [RAIN, RAIN])
    return url


@pytest.fixture
def reading(url: str) -> Iterator[Connection]:
    with open_database(url, "reader") as database, database.transaction() as connection:
        yield connection


def starts(
    reading: Connection, filters: Filters, options: ClipOptions = ONE
) -> list[tuple[str, float | None]]:
    asked = replace(filters, rules=UTC_RULES)
    return [(row.path, row.start_s) for row in results(reading, asked, "path", clips=options)]


def recorded(since: str | None = None, until: str | None = None) -> Filters:
    return Filters(by_recorded=True, since=since, until=until)


def test_a_label_is_asked_of_each_clip(reading: Connection) -> None:
    assert starts(reading, Filters(labels=("siren",))) == [
        *((EVENING, 5.0), (EVENING, 10.0)),
        (NIGHT, 0.0),
    ]
    assert starts(reading, Filters(labels=("bear",))) == []


def test_a_confidence_is_asked_of_each_clip(reading: Connection) -> None:
    assert len(starts(reading, Filters(min_confidence=0.8))) == 3
    assert len(starts(reading, Filters(max_confidence=0.8))) == 5


def test_a_clip_tells_when_it_began(reading: Connection) -> None:
    asked = Filters(path=EVENING, rules=UTC_RULES)
    moments = [row.clip_at for row in results(reading, asked, clips=ONE)]
    assert moments[0] == "2026-01-31T23:59:50.000Z"
    assert moments[3] == "2026-02-01T00:00:05.000Z"


def test_a_clip_of_a_recording_without_a_time_has_none(reading: Connection) -> None:
    assert {row.clip_at for row in results(reading, Filters(path=UNDATED), clips=ONE)} == {None}


def test_a_time_is_asked_of_each_clip_also_of_recordings_that_began_before(
    reading: Connection,
) -> None:
    assert starts(reading, recorded("2026-02-01T00:00:00.000Z", "2026-02-01T01:00:00.000Z")) == [
        (EVENING, 10.0),
        (EVENING, 15.0),
    ]
    assert starts(reading, recorded(until="2026-01-31T23:59:55.000Z")) == [(EVENING, 0.0)]


def test_a_time_is_asked_before_clips_are_joined(reading: Connection) -> None:
    from_midnight = replace(recorded("2026-02-01T00:00:00.000Z"), labels=("siren",))
    assert starts(reading, from_midnight, ClipOptions(merge_gap_seconds=0)) == [
        (EVENING, 10.0),
        (NIGHT, 0.0),
    ]


def test_a_time_at_the_ends_of_the_calendar_is_no_error(reading: Connection) -> None:
    everything = recorded("0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.000Z")
    assert len(starts(reading, everything)) == 6


@pytest.mark.parametrize(
    "filters",
    [
        Filters(labels=("siren", "dog"), max_confidence=0.8),
        recorded("2026-02-01T00:00:00.000Z"),
    ],
)
def test_field_formats_find_the_same_clips(reading: Connection, filters: Filters) -> None:
    asked = replace(filters, rules=UTC_RULES)
    found = recordings_with_clips(reading, asked, ONE)
    assert [(r.path, r.start_s) for _, rows in found for r in rows] == starts(reading, filters)


def test_field_formats_leave_out_recordings_of_another_time(reading: Connection) -> None:
    asked = replace(recorded("2026-02-01T00:00:00.000Z"), labels=("bear",), rules=UTC_RULES)
    assert [one.path for one, _ in recordings_with_clips(reading, asked, ONE)] == [EVENING, NIGHT]
    asked = replace(asked, since="2026-02-01T00:30:00.000Z")
    assert [one.path for one, _ in recordings_with_clips(reading, asked, ONE)] == [NIGHT]


@pytest.mark.parametrize("limit", [0, 4])
def test_the_surest_clips_come_first(reading: Connection, limit: int) -> None:
    rows = list(results(reading, Filters(), "confidence", limit, ONE))
    assert [row.confidence for row in rows][:4] == [0.875, 0.875, 0.875, 0.75]
    assert len(rows) == (limit or 8)


def test_no_more_recordings_are_read_than_the_limit_needs(reading: Connection) -> None:
    read: list[int] = []
    list(results(reading, Filters(), "path", 2, ONE, lambda: read.append(1)))
    assert len(read) == 1


def test_many_recordings_are_read_page_by_page(
    reading: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = starts(reading, Filters())
    monkeypatch.setattr("storage.queries.results._FIRST_PAGE", 1)
    monkeypatch.setattr("storage.queries.results._LARGEST_PAGE", 1)
    assert starts(reading, Filters()) == whole


@pytest.mark.parametrize(
    ("axis", "counts"),
    [
        ("label", [("rain", 3), ("siren", 3), ("dog", 2)]),
        ("site", [("pond", 4), (None, 2), ("roof", 2)]),
        ("folder", [("pond", 4), (".", 2), ("roof/a", 2)]),
        ("day", [(None, 2), ("2026-01-31", 2), ("2026-02-01", 4)]),
        ("hour", [(None, 2), ("00", 2), ("01", 2), ("23", 2)]),
        ("status", [("done", 8)]),
        ("checkpoint", [("c", 8)]),
    ],
)
def test_clips_are_counted_by_what_they_share(
    reading: Connection, axis: Axis, counts: list[tuple[str | None, int]]
) -> None:
    filters = Filters(rules=UTC_RULES)
    assert count_clips_by(reading, filters, ONE, axis) == counts


def test_an_hour_is_that_of_the_clock_in_the_zone(reading: Connection) -> None:
    """Of what a recorder's clock showed, whatever its zone."""
    there = Filters(path=NIGHT, rules=DisplayRules(zone="Australia/Sydney"))
    assert count_clips_by(reading, there, ONE, "hour") == [("01", 2)]


def test_counts_are_of_clips_that_fit(reading: Connection) -> None:
    sure = Filters(labels=("siren",), min_confidence=0.8)
    assert count_clips_by(reading, sure, ONE, "label") == [("siren", 3)]
