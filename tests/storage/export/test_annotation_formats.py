"""What is written for Raven, Audacity and Kaleidoscope, and which clips stand in it."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from ledger_rows import DOG, RAIN, SIREN, add_clips
from sqlalchemy import update

from storage.commands.context import Invocation
from storage.commands.results import results
from storage.database.engine import open_database
from storage.database.tables import recording
from storage.home.paths import Home
from storage.ledger.ledger import open_ledger


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("CLFD_DATABASE", raising=False)
    home = Home(tmp_path / "home")
    home.create()
    with open_ledger(f"sqlite:///{home.ledger_file}", "daemon") as ledger:
        add_clips(ledger, "a.wav", [DOG, SIREN, SIREN])
        add_clips(ledger, "silent/b.wav", [RAIN, RAIN])
        add_clips(ledger, "yard/c.wav", [SIREN, DOG, SIREN])
    return home


def ask(home: Home, *words: object) -> Result:
    return CliRunner().invoke(results, [str(word) for word in words], obj=Invocation(home.root))


def raven(home: Home, tmp_path: Path, *words: object) -> pd.DataFrame:
    file = tmp_path / "all.txt"
    assert ask(home, "--format", "raven", "-o", file, *words).exit_code == 0
    return pd.read_csv(file, sep="\t")


def spans(table: pd.DataFrame) -> list[tuple[float, float]]:
    return list(zip(table["Begin Time (s)"], table["End Time (s)"], strict=True))


def test_clips_are_asked_for_their_own_label(home: Home, tmp_path: Path) -> None:
    table = raven(home, tmp_path, "--label", "siren")
    assert list(table["Begin File"]) == ["a.wav", "a.wav", "c.wav", "c.wav"]
    assert list(table["File Offset (s)"]) == [5.0, 10.0, 0.0, 10.0]


def test_a_recording_without_a_row_still_counts_in_the_time_of_all(
    home: Home, tmp_path: Path
) -> None:
    table = raven(home, tmp_path, "--label", "siren")
    assert spans(table) == [(5.0, 10.0), (10.0, 15.0), (25.0, 30.0), (35.0, 40.0)]


def test_clips_are_asked_for_their_own_confidence(home: Home, tmp_path: Path) -> None:
    assert set(raven(home, tmp_path, "--min-confidence", "0.8")["Label"]) == {"siren"}


def test_neighbours_of_one_label_are_joined_on_request(home: Home, tmp_path: Path) -> None:
    table = raven(home, tmp_path, "--label", "siren", "--merge-gap", 0)
    assert spans(table) == [(5.0, 15.0), (25.0, 30.0), (35.0, 40.0)]


@pytest.mark.parametrize("clip_seconds", [0.7, 0.96, 2.2])
def test_neighbours_are_joined_whatever_a_sum_of_fractions_comes_to(
    home: Home, tmp_path: Path, clip_seconds: float
) -> None:
    with open_ledger(f"sqlite:///{home.ledger_file}", "daemon") as ledger:
        add_clips(ledger, "long.wav", [SIREN] * 200, clip_seconds=clip_seconds)
    assert len(raven(home, tmp_path, "--path", "long.wav", "--merge-gap", 0)) == 1


def test_a_gap_may_lie_between_those_that_are_joined(home: Home, tmp_path: Path) -> None:
    table = raven(home, tmp_path, "--label", "siren", "--merge-gap", 5)
    assert spans(table) == [(5.0, 15.0), (25.0, 40.0)]


def test_a_clip_tells_as_many_labels_as_asked(home: Home) -> None:
    printed = ask(home, "--clips", "--top", 2, "--format", "csv", "--path", "a.wav").stdout
    rows = list(csv.DictReader(printed.splitlines()))
    assert [row["label"] for row in rows[:4]] == ["dog", "siren", "siren", "dog"]


def test_a_folder_gets_a_table_for_each_recording(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "tables"  # which is made
    assert ask(home, "--format", "raven", "--label", "siren", "-o", folder).exit_code == 0
    tables = {
        str(file.relative_to(folder)): len(pd.read_csv(file, sep="\t"))
        for file in folder.rglob("*.txt")
    }
    ending = ".Table.1.selections.txt"
    names = ("inbox/a.wav", "inbox/silent/b.wav", "inbox/yard/c.wav")
    assert tables == dict(zip((name + ending for name in names), (2, 0, 2), strict=True))


def test_a_folder_with_a_suffix_has_to_be_there(home: Home, tmp_path: Path) -> None:
    refused = ask(home, "--format", "raven", "-o", f"{tmp_path}/night.d/")
    assert (refused.exit_code, "there is no folder" in refused.stderr) == (2, True)
    (tmp_path / "night.d").mkdir()
    assert ask(home, "--format", "raven", "-o", f"{tmp_path}/night.d/").exit_code == 0
    assert (tmp_path / "night.d" / "inbox").is_dir()


def test_a_file_without_a_suffix_that_is_there_is_a_file(home: Home, tmp_path: Path) -> None:
    (tmp_path / "tables").write_text("")
    assert ask(home, "--format", "raven", "-o", tmp_path / "tables").exit_code == 0
    assert (tmp_path / "tables").read_text().startswith("Selection")


def test_inboxes_of_one_name_stay_apart(home: Home, tmp_path: Path) -> None:
    with open_ledger(f"sqlite:///{home.ledger_file}", "daemon") as ledger:
        add_clips(ledger, "a.wav", [DOG], "/other/inbox")
    folder = tmp_path / "tables"
    folder.mkdir()
    ask(home, "--format", "audacity", "-o", folder)
    assert {path.name for path in folder.iterdir()} == {"inbox", "inbox-2"}


def test_a_label_track_has_start_end_and_label(home: Home) -> None:
    printed = ask(home, "--format", "audacity", "--path", "a.wav", "--label", "dog").stdout
    assert printed == "0.000000\t5.000000\tdog\n"


def test_a_label_track_of_several_recordings_is_refused_with_the_way_out(home: Home) -> None:
    refused = ask(home, "--format", "audacity")
    assert "-o" in str(refused.exception)
    assert (bool(refused.exit_code), refused.stdout) == (True, "")


def test_kaleidoscope_gets_folder_file_offset_and_length(home: Home) -> None:
    printed = ask(home, "--format", "kaleidoscope", "--label", "dog").stdout
    rows = [
        (row["FOLDER"], row["IN FILE"], row["OFFSET"], row["DURATION"], row["AUTO ID"])
        for row in csv.DictReader(printed.splitlines())
    ]
    assert rows == [
        ("", "a.wav", "0.000", "5.000", "dog"),
        ("yard", "c.wav", "5.000", "5.000", "dog"),
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("--format", "raven", "--limit", "3"),
        ("--format", "raven", "--columns", "path"),
        ("--format", "audacity", "--status", "failed"),
        ("--format", "raven", "--follow"),
        ("--merge-gap", "3"),
        ("--top", "3"),
    ],
)
def test_what_makes_no_sense_together_is_refused(home: Home, words: tuple[str, ...]) -> None:
    assert ask(home, *words).exit_code == 2


def test_a_name_with_a_tab_breaks_no_table(home: Home, tmp_path: Path) -> None:
    with open_ledger(f"sqlite:///{home.ledger_file}", "daemon") as ledger:
        add_clips(ledger, 'odd\t"name.wav', [DOG])
    table = raven(home, tmp_path, "--path", "odd*")
    assert table.shape == (1, 13)


def test_an_archived_recording_is_told_where_it_lies(home: Home) -> None:
    place = {"archive_path": b"/archive/a-2.wav", "archive_path_text": "/archive/a-2.wav"}
    moved = update(recording).where(recording.c.path == b"a.wav")
    with (
        open_database(f"sqlite:///{home.ledger_file}", "editor") as database,
        database.transaction() as connection,
    ):
        connection.execute(moved.values(archived_at="2026-01-31T12:00:00.000Z", **place))
    cards = ask(home, "--format", "kaleidoscope", "--path", "a.wav").stdout.splitlines()
    assert cards[1].startswith("/archive,,a-2.wav,")
    (row, *_) = csv.DictReader(
        ask(home, "--format", "raven", "--path", "a.wav").stdout.splitlines(), delimiter="\t"
    )
    assert (row["Begin File"], row["Begin Path"]) == ("a-2.wav", "/archive/a-2.wav")
