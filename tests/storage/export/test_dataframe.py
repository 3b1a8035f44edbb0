"""`clfd.results`: what the command line tells, as a DataFrame."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from math import nan
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from ledger_rows import add

import clfd
from storage.commands.context import Invocation
from storage.commands.results import results
from storage.errors import LedgerMissing, StorageError
from storage.export.dataframe import TYPES
from storage.home.paths import Home
from storage.ledger.ledger import open_ledger
from storage.settings.loading import load_settings


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A dog, a siren and a failure."""
    home = Home(tmp_path / "home")
    home.create()
    with open_ledger(load_settings(home, environ={}).database, "daemon") as ledger:
        add(ledger, "yard/a.wav", "dog", 0.9)
        add(ledger, "yard/b.wav", "siren", 0.75)
        add(ledger, "c.wav", None)
    return home


def test_a_frame_holds_what_the_command_line_tells(home: Home) -> None:
    printed = CliRunner().invoke(
        results, ["--format", "json", "--status", "all"], obj=Invocation(home.root)
    )
    frame = clfd.results(home.root, status="all", scores=True)
    for row, (_, of_frame) in zip(json.loads(printed.stdout), frame.iterrows(), strict=True):
        assert row.pop("id") and of_frame["path"] == row["path"]
        scores = row.pop("scores") or {}
        assert {label: of_frame[f"score_{label}"] for label in scores} == scores
        assert pd.Timestamp(row.pop("classified_at")) == of_frame["classified_at"]
        for column, value in row.items():
            assert pd.isna(of_frame[column]) if value is None else of_frame[column] == value


def test_filters_mean_what_they_mean_there(home: Home) -> None:
    assert list(clfd.results(home.root, label="siren").path) == ["yard/b.wav"]
    assert list(clfd.results(home.root, label=["siren", "dog"], sort="path").path) == [
        *("yard/a.wav", "yard/b.wav"),
    ]
    assert list(clfd.results(home.root, min_confidence=0.8, path="yard/*").label) == ["dog"]
    assert clfd.results(home.root, until=datetime(2020, 1, 1, tzinfo=UTC)).empty
    assert len(clfd.results(home.root, since="1h", limit=1)) == 1


def test_clips_have_a_row_each(home: Home) -> None:
    frame = clfd.results(home.root, path="yard/a.wav", clips=True)
    assert list(frame.start_s) == [0.0, 5.0]
    assert list(frame.label) == ["dog", "siren"]


def test_filters_ask_of_clips_where_rows_are_clips(home: Home) -> None:
    frame = clfd.results(home.root, label="siren", min_confidence=0.8, clips=True, sort="path")
    assert list(frame.path) == ["yard/a.wav", "yard/b.wav"]
    assert set(frame.start_s) == {5.0}


@pytest.mark.parametrize("strange", [{"label": "owl"}, {"checkpoint": "nope"}])
@pytest.mark.parametrize("clips", [False, True])
def test_a_name_that_nothing_has_is_warned_of_as_the_command_line_does(
    home: Home, strange: dict[str, str], clips: bool
) -> None:
    words = [f"--{name}={value}" for name, value in strange.items()] + ["--clips"] * clips
    printed = CliRunner().invoke(results, words, obj=Invocation(home.root))
    with pytest.warns(UserWarning, match="nothing found: no ") as warned:
        assert clfd.results(home.root, clips=clips, **strange).empty
    assert str(warned[0].message) == printed.stderr.rstrip()
    assert warned[0].filename == __file__


@pytest.mark.parametrize(
    "strange", [{"min_confidence": 7}, {"max_confidence": -1}, {"min_level": nan}, {"limit": -1}]
)
def test_values_out_of_range_are_refused(home: Home, strange: dict[str, float]) -> None:
    [(name, value)] = strange.items()
    with pytest.raises(ValueError, match=f"{name}={value} does not lie in"):
        clfd.results(home.root, **strange)


def test_a_frame_without_rows_has_its_columns_and_types(home: Home) -> None:
    empty, full = clfd.results(home.root, path="owl"), clfd.results(home.root)
    assert list(empty.columns) == list(full.columns)
    for column in TYPES.keys() & set(full.columns):
        assert str(empty[column].dtype) == str(full[column].dtype) == TYPES[column]


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"status": "ready"}, "status 'ready' is none of done, failed"),
        ({"sort": "length"}, "sort 'length' is none of newest"),
        ({"since": "soon"}, "'soon' is no time"),
        ({"checkpoint": "active"}, "no checkpoint is active"),
    ],
)
def test_a_word_that_means_nothing_is_named(
    home: Home, filters: dict[str, str], message: str
) -> None:
    with pytest.raises(StorageError, match=message):
        clfd.results(home.root, **filters)


def test_a_home_without_a_ledger_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(LedgerMissing, match="clfd init"):
        clfd.results(tmp_path)


def test_the_example_of_the_guide_runs(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (Path(__file__).parents[3] / "docs" / "results.md").read_text()
    example = guide.partition("```python\n")[2].partition("```")[0]
    monkeypatch.setenv("CLFD_HOME", str(home.root))
    names: dict[str, object] = {}
    exec(example, names)
    assert dict(names["per_label"]) == {"dog": 1, "siren": 1}  # type: ignore[call-overload]
