"""Runs of neighbouring clips, as a report counts them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from ledger_rows import DOG, RAIN, SIREN, add_clips
from sqlalchemy import Connection

from storage.database.engine import open_database
from storage.ledger.ledger import open_ledger
from storage.queries.figures.activity import LabelActivity, activity_of_runs
from storage.queries.figures.period import period_figures
from storage.queries.filters import Filters
from storage.values.decision import DisplayRules

pytestmark = pytest.mark.usefixtures("greenwich")

NIGHT = Filters(
    since="2026-01-31T00:00:00.000Z",
    until="2026-02-02T00:00:00.000Z",
    by_recorded=True,
    rules=DisplayRules("UTC"),
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Recordings of clips of five seconds, which are called rain as a whole."""
    url = f"sqlite:///{tmp_path_factory.mktemp('activity') / 'clfd.db'}"
    with open_ledger(url, "daemon") as ledger:
        add_clips(ledger, "mic01/20260131_235950.wav", [SIREN, SIREN, SIREN, RAIN, SIREN])
        add_clips(ledger, "mic02/20260131_120000.wav", [RAIN, SIREN])
        add_clips(ledger, "mic02/20260101_120000.wav", [DOG])
    return url


@pytest.fixture
def reading(url: str) -> Iterator[Connection]:
    with open_database(url, "reader") as database, database.transaction() as connection:
        yield connection


def of_label(reading: Connection, label: str, filters: Filters = NIGHT) -> LabelActivity:
    labels = activity_of_runs(reading, filters).labels
    return next((each for each in labels if each.label == label), LabelActivity(label))


def test_neighbouring_clips_of_one_label_are_one_time(reading: Connection) -> None:
    labels = activity_of_runs(reading, NIGHT).labels
    assert [(each.label, each.number) for each in labels] == [("siren", 3), ("rain", 2)]


def test_the_hour_and_the_day_are_those_at_which_a_run_began(reading: Connection) -> None:
    siren = of_label(reading, "siren")
    assert siren.by_hour == {23: 1, 0: 1, 12: 1}  # midnight lies between two runs
    assert siren.by_day == {date(2026, 1, 31): 2, date(2026, 2, 1): 1}


def test_runs_that_began_outside_the_period_do_not_count(reading: Connection) -> None:
    after_midnight = replace(NIGHT, since="2026-02-01T00:00:05.000Z")
    assert of_label(reading, "siren", after_midnight).number == 1


def test_sites_have_their_own_numbers(reading: Connection) -> None:
    sites = activity_of_runs(reading, NIGHT).sites
    assert {each.site: dict(each.labels) for each in sites} == {
        "mic01": {"siren": 2, "rain": 1},
        "mic02": {"siren": 1, "rain": 1},
    }


def test_a_run_is_as_sure_as_its_surest_clip(reading: Connection) -> None:
    assert of_label(reading, "siren").mean_confidence == 0.875
    sure = activity_of_runs(reading, replace(NIGHT, min_confidence=0.8)).labels
    assert [each.label for each in sure] == ["siren"]


def test_labels_are_as_they_are_shown(reading: Connection) -> None:
    rules = DisplayRules("UTC", thresholds=(("rain", 0.8),))
    assert of_label(reading, "unknown", replace(NIGHT, rules=rules)).number == 2


def test_the_surest_runs_have_their_seconds_and_their_file(reading: Connection) -> None:
    activity = activity_of_runs(reading, NIGHT)
    longest = max(activity.surest, key=lambda run: (run.end_s or 0) - run.start_s)
    assert (longest.start_s, longest.end_s) == (0.0, 15.0)
    assert longest.file == Path("/cards/inbox/mic01/20260131_235950.wav")
    assert longest.confidence == 0.875
    assert not {*activity.surest} & {*activity.least_sure}


def test_figures_of_clips_say_so_and_count_recordings_beside_them(reading: Connection) -> None:
    sirens = replace(NIGHT, labels=("siren",))
    figures = period_figures(reading, sirens, [], None, by_clips=True).as_json()
    assert (figures["clips"], figures["labels"][0]["number"]) == (True, 3)
    assert figures["counts"]["done"] == 2
    assert {"clip_at", "start_s", "end_s"} <= {*figures["most_confident"][0]}


@pytest.mark.parametrize(("path", "is_long"), [("mic01/*", True), ("mic02/*", False)])
def test_recordings_of_three_clips_are_long(reading: Connection, path: str, is_long: bool) -> None:
    figures = period_figures(reading, replace(NIGHT, path=path), [], None)
    assert figures.has_long_recordings is is_long
