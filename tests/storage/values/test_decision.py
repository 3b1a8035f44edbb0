"""Answers that are too unsure are shown as unknown, and stay in the ledger as they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_rows import add
from sqlalchemy import Connection

from storage.database.engine import open_database
from storage.errors import SettingsError
from storage.home.paths import Home
from storage.labels.matching import write_labels
from storage.labels.tables.annotation_files import Annotation
from storage.ledger.ledger import open_ledger
from storage.queries.clips import ClipOptions
from storage.queries.counts import count, count_by
from storage.queries.filters import Filters
from storage.queries.results import results
from storage.settings.loading import load_settings
from storage.values.decision import DisplayRules

STRICT = DisplayRules(thresholds=(("dog", 0.8),), unknown_below=0.5)


@pytest.fixture
def reading(tmp_path: Path) -> Iterator[Connection]:
    url = f"sqlite:///{tmp_path / 'clfd.db'}"
    with open_ledger(url, "daemon") as ledger:
        add(ledger, "sure.wav", "dog", 0.9)
        add(ledger, "unsure.wav", "dog", 0.7)
        add(ledger, "siren.wav", "siren", 0.6)
        add(ledger, "faint.wav", "siren", 0.4)
    with open_database(url, "reader") as database, database.transaction() as connection:
        yield connection


def printed(connection: Connection, limit: int = 0, **asked: object) -> dict[str, str | None]:
    filters = Filters(rules=STRICT, **asked)  # type: ignore[arg-type]
    return {row.path: row.label for row in results(connection, filters, limit=limit)}


@pytest.mark.parametrize("limit", [0, 10])
def test_an_answer_below_its_threshold_is_told_as_unknown(reading: Connection, limit: int) -> None:
    assert printed(reading, limit) == {
        "sure.wav": "dog",
        "unsure.wav": "unknown",
        "siren.wav": "siren",
        "faint.wav": "unknown",
    }


@pytest.mark.parametrize("limit", [0, 10])
@pytest.mark.parametrize("history", [False, True])
def test_what_is_told_as_unknown_is_wrong_where_a_person_names_it(
    tmp_path: Path, reading: Connection, limit: int, history: bool
) -> None:
    digest = next(row.digest for row in results(reading, Filters(path="unsure.wav")))
    one = Annotation("dog", "row 2")
    with open_database(f"sqlite:///{tmp_path / 'clfd.db'}", "editor") as database:
        write_labels(database, [(one, str(digest), "set")], "ada")
        with database.transaction() as connection:
            assert printed(connection, limit, wrong=True, history=history) == {
                "unsure.wav": "unknown"
            }


def test_a_word_for_nothing_beside_a_label_says_no_more_than_the_label(
    tmp_path: Path, reading: Connection
) -> None:
    said = {"sure.wav": "dog;noise", "siren.wav": "Silence", "faint.wav": "background;noise"}
    digests = {row.path: str(row.digest) for row in results(reading, Filters())}
    with open_database(f"sqlite:///{tmp_path / 'clfd.db'}", "editor") as database:
        found = ((Annotation(label, "row 2"), digests[path]) for path, label in said.items())
        write_labels(database, [(*one, "set") for one in found], "ada")
        with database.transaction() as connection:
            assert printed(connection, wrong=True).keys() == {"siren.wav", "faint.wav"}


@pytest.mark.parametrize("limit", [0, 10])
@pytest.mark.parametrize("history", [False, True])
@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (("dog",), {"sure.wav"}),
        (("unknown",), {"unsure.wav", "faint.wav"}),
        (("unknown", "siren"), {"unsure.wav", "faint.wav", "siren.wav"}),
    ],
)
def test_labels_are_asked_for_as_they_are_told(
    reading: Connection, labels: tuple[str, ...], expected: set[str], history: bool, limit: int
) -> None:
    assert printed(reading, limit, labels=labels, history=history).keys() == expected


def test_a_network_may_have_learned_a_label_that_is_called_unknown(tmp_path: Path) -> None:
    with open_ledger(f"sqlite:///{tmp_path / 'clfd.db'}", "daemon") as ledger:
        add(ledger, "strange.wav", "unknown", 0.9)
        ledger.register_checkpoint("c" * 64, "c", ("dog", "unknown"), 5.0, {})
        with ledger.database.transaction() as connection:
            assert printed(connection, labels=("unknown",)) == {"strange.wav": "unknown"}


def test_labels_are_counted_as_they_are_told(reading: Connection) -> None:
    expected = {"unknown": 2, "dog": 1, "siren": 1}
    for history in (False, True):
        filters = Filters(rules=STRICT, history=history)
        assert dict(count_by(reading, filters, "label")) == expected


def test_those_of_a_label_are_counted_as_they_are_told(reading: Connection) -> None:
    assert count(reading, Filters(labels=("dog",), rules=STRICT)) == 1


def test_other_counts_do_not_change(reading: Connection) -> None:
    assert count(reading, Filters(rules=STRICT)) == 4


def test_clips_are_told_by_their_own_confidence(reading: Connection) -> None:
    filters = Filters(path="sure.wav", rules=STRICT)
    clips = results(reading, filters, clips=ClipOptions())
    assert [(clip.label, clip.confidence) for clip in clips] == [
        ("unknown", 0.75),
        ("siren", 0.875),
    ]


def test_a_file_of_settings_says_which_thresholds(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.settings_file.write_text('[results]\nthresholds = ["dog=0.8"]\nunknown_below = 0.5\n')
    assert load_settings(home, environ={}).results.display_rules == STRICT


@pytest.mark.parametrize(
    ("pattern", "path", "site"),
    [
        ("", "yard/north/a.wav", "yard"),
        ("", "a.wav", ""),
        (r"(?P<site>S\d+)_", "cards/S12_20260131_120000.wav", "S12"),
        (r"(?P<site>S\d+)_", "cards/other.wav", ""),
    ],
)
def test_a_site_is_the_first_folder_or_what_the_pattern_finds(
    pattern: str, path: str, site: str
) -> None:
    assert DisplayRules(site_pattern=pattern).site_of(path) == site


@pytest.mark.parametrize("pattern", ["(", r"(S\d+)", "(?P<place>.)"])
def test_a_pattern_without_a_site_is_refused_by_name(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(SettingsError, match="CLFD_RESULTS__SITE_PATTERN"):
        load_settings(Home(tmp_path), environ={"CLFD_RESULTS__SITE_PATTERN": pattern})


@pytest.mark.parametrize("text", ["dog", "dog=much", "dog=1.5", "=0.5", "dog=0.5,dog=0.6"])
def test_what_is_no_threshold_is_refused_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="CLFD_RESULTS__THRESHOLDS"):
        load_settings(Home(tmp_path), environ={"CLFD_RESULTS__THRESHOLDS": text})
