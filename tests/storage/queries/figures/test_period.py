"""The figures of a period: labels over time, confidence, failures, and drift."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ledger_rows import NOON, WEEK, add, week_of_answers
from sqlalchemy import insert

from storage.database.tables import human_label
from storage.ledger.ledger import Ledger
from storage.queries.figures.period import LabelDrift, drift_of, period_figures
from storage.queries.figures.statistics import (
    ConfidenceBin,
    KnownCheckpoint,
    answers_in_time,
    confidence_bins,
    extremes,
    failures,
)
from storage.queries.filters import Filters
from storage.values.decision import DisplayRules

pytestmark = pytest.mark.usefixtures("greenwich")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with week_of_answers(tmp_path) as ledger:
        yield ledger


def test_answers_are_counted_by_label_and_hour(ledger: Ledger) -> None:
    with ledger.database.transaction() as connection:
        found = set(answers_in_time(connection, WEEK))
    noon = NOON.replace(minute=0)
    assert ("dog", noon, 2) in found
    assert ("siren", noon + timedelta(days=1), 1) in found


def test_hours_are_those_of_the_local_clock_also_half_an_hour_off(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "IST-5:30")
    time.tzset()
    with ledger.database.transaction() as connection:
        dog = period_figures(connection, WEEK, [], None).activity.labels[0]
    assert dog.by_hour == {17: 1, 18: 1, 20: 1}  # 12:10, 12:40 and 15:10 in Greenwich


def test_activity_can_be_that_of_the_recordings(ledger: Ledger) -> None:
    add(ledger, "20240501_043000.wav", "dog", 0.9)
    add(ledger, "20240501T053000Z.wav", "dog", 0.9)
    spring = Filters(
        since="2024-05-01T00:00:00.000Z",
        until="2024-05-02T00:00:00.000Z",
        by_recorded=True,
        rules=DisplayRules("-02:00"),
    )
    with ledger.database.transaction() as connection:
        dog = period_figures(connection, spring, [], None).activity.labels[0]
    assert dog.by_hour == {6: 1, 5: 1}


def test_recordings_of_recorders_half_an_hour_off_stand_in_their_hour(ledger: Ledger) -> None:
    add(ledger, "20240501_043000.wav", "dog", 0.9)
    spring = Filters(
        since="2024-04-30T00:00:00.000Z",
        until="2024-05-02T00:00:00.000Z",
        by_recorded=True,
        rules=DisplayRules("+05:30"),
    )
    with ledger.database.transaction() as connection:
        period = period_figures(connection, spring, [], None)
    assert period.activity.labels[0].by_hour == {23: 1}  # 23:00 in Greenwich
    assert period.as_json()["most_confident"][0]["recorded_at"] == "2024-04-30T23:00:00.000Z"


def test_full_confidence_is_in_the_last_step(ledger: Ledger) -> None:
    with ledger.database.transaction() as connection:
        bins = {(each.label, each.bin) for each in confidence_bins(connection, WEEK)}
    assert bins == {("dog", 18), ("dog", 19), ("dog", 6), ("siren", 12)}


def test_failures_are_counted_by_reason_with_an_example(ledger: Ledger) -> None:
    with ledger.database.transaction() as connection:
        (failure,) = failures(connection, WEEK)
    assert (failure.kind, failure.number, failure.sentence) == ("decode", 2, "no audio")


def test_a_recording_is_among_the_surest_or_the_least_sure(ledger: Ledger) -> None:
    with ledger.database.transaction() as connection:
        surest, least = extremes(connection, WEEK, 2)
    assert [each.confidence for each in surest] == [1.0, 0.9]
    assert [each.confidence for each in least] == [0.34, 0.6]


def test_what_nobody_moved_lies_in_its_inbox(ledger: Ledger) -> None:
    with ledger.database.transaction() as connection:
        surest, _ = extremes(connection, WEEK, 1)
    assert surest[0].file == Path("/inbox/yard/b.wav")


@pytest.mark.parametrize(
    ("filters", "done"),
    [(replace(WEEK, labels=("siren",)), 1), (replace(WEEK, path="yard/*"), 1), (WEEK, 4)],
)
def test_filters_say_what_is_counted(ledger: Ledger, filters: Filters, done: int) -> None:
    with ledger.database.transaction() as connection:
        figures = period_figures(connection, filters, [], None)
    assert figures.counts["done"] == sum(each.number for each in figures.activity.labels) == done


def test_failures_have_no_label_and_are_counted_all_the_same(ledger: Ledger) -> None:
    with ledger.database.transaction() as connection:
        figures = period_figures(connection, replace(WEEK, labels=("siren",)), [], None)
    assert (figures.counts["failed"], figures.failures[0].number) == (2, 2)


# --- drift


def checkpoint(facts: dict[str, Any]) -> KnownCheckpoint:
    return KnownCheckpoint(7, "20260101T000000Z-cccccccc", facts)


def profiled() -> KnownCheckpoint:
    labels = {
        "dog": {"share": 0.75, "mean_confidence": 0.733333},
        "siren": {"share": 0.25, "mean_confidence": 0.7},
    }
    return checkpoint({"training": {"profile": {"recordings": 4, "labels": labels}}})


def test_other_shares_and_less_confidence_are_drift() -> None:
    now = [ConfidenceBin("dog", 7, 10, 1, 0.5), ConfidenceBin("siren", 7, 12, 3, 1.8)]
    drift, _ = drift_of(profiled(), now)
    assert drift is not None
    assert drift.distance == pytest.approx(0.5)
    assert [row.has_moved for row in drift.labels] == [True, True]


@pytest.mark.parametrize(
    ("now", "then", "moved"), [(0.5, 0.45, False), (0.5, 0.35, True), (0.05, 0.02, True)]
)
def test_of_a_rare_label_a_smaller_change_is_reported(now: float, then: float, moved: bool) -> None:
    assert LabelDrift("dog", now, then, None, 0.9).has_moved is moved


def test_answers_of_another_checkpoint_are_no_drift_of_this_one() -> None:
    drift, reason = drift_of(profiled(), [ConfidenceBin("dog", 8, 10, 1, 0.5)])
    assert drift is None
    assert "has answered nothing" in (reason or "")


@pytest.mark.parametrize(
    "training",
    [
        {},
        {"profile": None},
        {"profile": {"recordings": 1, "labels": []}},
        {"profile": {"recordings": 1, "labels": {"dog": {"share": 7, "mean_confidence": 1}}}},
    ],
)
def test_a_checkpoint_without_a_valid_profile_says_so(training: dict[str, Any]) -> None:
    drift, reason = drift_of(checkpoint({"training": training}), [])
    assert drift is None
    assert (reason or "").startswith("no profile")


def test_answers_and_failures_are_counted_by_site(ledger: Ledger) -> None:
    with ledger.database.transaction() as connection:
        sites = period_figures(connection, WEEK, [], None).activity.sites
        by_name = replace(WEEK, rules=DisplayRules(site_pattern=r"(?P<site>[ab])[^/]*$"))
        named = period_figures(connection, by_name, [], None).activity.sites
    found = {each.site: (each.done, each.failed) for each in sites}
    assert (found[""], found["yard"]) == ((2, 1), (1, 1))
    assert {each.site: (each.done, each.failed) for each in named}["b"] == (1, 2)


def test_corrections_are_counted(ledger: Ledger) -> None:
    with ledger.database.transaction() as connection:
        for number, end_s, label in ((1, 0, "siren"), (2, 4, "dog"), (2, 8, "siren")):
            said = {"digest": f"{number:064d}", "start_s": end_s and end_s - 4, "end_s": end_s}
            given = {"label": label, "origin": "set", "labelled_at": "2026"}
            connection.execute(insert(human_label).values(**said, **given))
        period = period_figures(connection, WEEK, [], None)
    assert (period.corrected, period.labelled) == (1, 2)  # the second clip is a siren


def test_a_sample_names_the_second_in_which_it_was_heard(ledger: Ledger) -> None:
    with ledger.database.transaction() as connection:
        surest, least_sure = extremes(connection, WEEK, 6)
    starts = {each.label: each.start_s for each in (*surest, *least_sure)}
    assert starts == {"dog": 0.0, "siren": 5.0}
