"""`clfd compare`: where two checkpoints say different things of the same recordings."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from storage.commands.context import Invocation
from storage.database.engine import open_database
from storage.errors import StorageError
from storage.home.paths import Home
from storage.ledger.ledger import Ledger, open_ledger
from storage.ledger.outcomes import Arrival, AudioFacts, Scored
from storage.maintenance.rescore import requeue_answered
from storage.queries import disagreements
from storage.queries.disagreements import ComparedCheckpoint, Pair, answering, pairs
from storage.queries.filters import Filters
from trainer.commands.compare import compare
from trainer.reports.compare_report import Difference
from trainer.reports.figures import COUNTED_LABELS, disputed_matrix, draw_difference, write_picture

HERE = Path(__file__).parents[3]
OLD, NEW, UNUSED = (f"2026010{day}T000000Z-{day:08d}" for day in (1, 2, 3))
LABELS = ("dog", "siren")
CONFIDENCES = (0.75, 0.5)
ANSWERS = {"a.wav": ("dog", "dog"), "b.wav": ("dog", "siren"), "yard/c.wav": ("siren", "siren")}


def answer(ledger: Ledger, name: str, position: int) -> None:
    """The position-th answer of each recording in the queue, by the checkpoint of that name."""
    checkpoint_id = ledger.register_checkpoint(name, name, LABELS, 5.0, {})
    for claim in ledger.claim("me", 10, 3):
        label = ANSWERS[claim.path.decode()][position]
        facts = AudioFacts(f"{claim.recording_id:064d}", 5.0, 8000, 1)
        scores = struct.pack("<2f", 0.75, 0.25), struct.pack("<2e", 0.75, 0.25)
        printed = (
            claim.recording_id,
            facts,
            checkpoint_id,
            label,
            CONFIDENCES[position],
            *scores,
            5.0,
            5.0,
            None,
        )
        ledger.record([Scored(*printed)])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("CLFD_DATABASE", raising=False)
    home = Home(tmp_path / "home")
    home.create()
    url = f"sqlite:///{home.ledger_file}"
    with open_ledger(url, "daemon") as ledger:
        ledger.admit([Arrival(Path("/inbox"), name.encode(), name, 1) for name in ANSWERS])
        answer(ledger, OLD, 0)
        ledger.register_checkpoint(UNUSED, UNUSED, LABELS, 5.0, {})
        with open_database(url, "editor") as database:
            requeue_answered(database, Filters(), None)
        answer(ledger, NEW, 1)
    return home


def ask(home: Home, *words: object) -> Result:
    printed = [str(word) for word in words]
    return CliRunner().invoke(compare, printed, obj=Invocation(home.root), catch_exceptions=False)


def printed(home: Home, *words: object) -> dict[str, Any]:
    return dict(json.loads(ask(home, OLD, NEW, "--json", *words).stdout))


def counted(home: Home, filters: Filters) -> list[Pair]:
    database = open_database(f"sqlite:///{home.ledger_file}", "reader")
    with database, database.transaction() as connection:
        a, b = (answering(connection, name) for name in (OLD, NEW))
        return pairs(connection, a, b, filters)


def differing(*printed: tuple[str, str, int]) -> Difference:
    found = tuple(Pair(a, b, count, 0.75, 0.5) for a, b, count in printed)
    return Difference(ComparedCheckpoint(1, OLD), ComparedCheckpoint(2, NEW), found, None)


def test_it_counts_in_how_many_both_agree(home: Home) -> None:
    found = printed(home)
    assert (found["recordings"], found["agreed"]) == (3, 2)


def test_it_counts_each_label_by_both(home: Home) -> None:
    assert printed(home)["labels"] == [
        {"label": "dog", "a": 2, "b": 1, "both": 1, "agreement": 0.5},
        {"label": "siren", "a": 1, "b": 2, "both": 1, "agreement": 1.0},
    ]


def test_it_says_how_much_surer_the_second_is(home: Home) -> None:
    assert printed(home)["confidence_difference"] == pytest.approx(-0.25)


@pytest.mark.parametrize("filters", [Filters("all"), Filters("all", since="2026")])
def test_counting_piece_by_piece_gives_the_same(
    home: Home, monkeypatch: pytest.MonkeyPatch, filters: Filters
) -> None:
    at_once = counted(home, filters)
    monkeypatch.setattr(disagreements, "_AT_A_TIME", 1)
    assert counted(home, filters) == at_once != []


def test_all_pairs_are_there_as_csv_with_disagreements_first(home: Home) -> None:
    assert ask(home, OLD, NEW, "--format", "csv").stdout.splitlines() == [
        "a,b,count,a_confidence,b_confidence",
        "dog,siren,1,0.75,0.5",
        "dog,dog,1,0.75,0.5",
        "siren,siren,1,0.75,0.5",
    ]


def test_recordings_listed_as_csv_stand_alone(home: Home) -> None:
    printed = ask(home, OLD, NEW, "--format", "csv", "--list", 5).stdout
    assert printed == "path,a,a_confidence,b,b_confidence\nb.wav,dog,0.75,siren,0.5\n"


def test_where_nothing_differs_a_csv_of_recordings_has_only_its_header(home: Home) -> None:
    printed = ask(home, OLD, NEW, "--format", "csv", "--list", 5, "--path", "a.wav").stdout
    assert printed == "path,a,a_confidence,b,b_confidence\n"


def test_two_spellings_ask_for_json(home: Home) -> None:
    assert json.loads(ask(home, OLD, NEW, "--format", "json").stdout) == printed(home)


def test_it_names_the_pairs_that_differ(home: Home) -> None:
    (pair,) = printed(home)["disagreements"]
    assert (pair["a"], pair["b"], pair["count"]) == ("dog", "siren", 1)


def test_it_lists_recordings_on_request(home: Home) -> None:
    assert [each["path"] for each in printed(home, "--list", 5)["listed"]] == ["b.wav"]


def test_filters_say_which_recordings(home: Home) -> None:
    assert printed(home, "--path", "yard/*")["recordings"] == 1


def test_answers_below_the_threshold_of_the_settings_are_compared_as_unknown(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLFD_RESULTS__THRESHOLDS", "siren=0.6")
    listed = printed(home, "--list", 5)["listed"]
    assert [(each["path"], each["a"], each["b"]) for each in listed] == [
        ("b.wav", "dog", "unknown"),
        ("yard/c.wav", "siren", "unknown"),
    ]


def test_the_table_tells_people_the_share_and_the_pairs(home: Home) -> None:
    text = ask(home, OLD, NEW).stdout
    assert "agree in 2 of 3 recordings (66.7%)" in text
    assert "mean confidence 0.75 and 0.50 (-0.250)" in text
    assert "A says" in text


@pytest.mark.parametrize(("name", "begin"), [("c.png", b"\x89PNG"), ("c.svg", b"<?xml")])
def test_the_picture_is_what_its_suffix_says(
    home: Home, tmp_path: Path, name: str, begin: bytes
) -> None:
    ask(home, OLD, NEW, "--plot", tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(begin)


def test_in_the_picture_only_disagreements_have_colour() -> None:
    figure = draw_difference(differing(("dog", "dog", 90), ("dog", "siren", 10)))
    shares = figure.axes[0].images[0].get_array()
    assert np.ma.getmaskarray(shares).tolist() == [[True, False], [False, True]]
    assert shares[0, 1] == pytest.approx(0.1)


def test_a_picture_is_drawn_without_torch() -> None:
    program = "import sys, trainer.reports.figures; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=HERE).returncode == 0


def test_a_label_that_the_font_lacks_is_no_warning(tmp_path: Path) -> None:
    write_picture(tmp_path / "c.png", differing(("犬", "dog", 1)))
    assert (tmp_path / "c.png").exists()


def test_of_many_labels_the_most_disputed_stand_for_themselves() -> None:
    calm = [(f"calm {number}", f"calm {number}", 5) for number in range(COUNTED_LABELS)]
    labels, counts = disputed_matrix(differing(("siren", "dog", 3), ("rain", "siren", 2), *calm))
    assert {"siren", "dog", "rain"} < {*labels}
    assert (len(labels), labels[-1]) == (COUNTED_LABELS, "4 others")
    assert counts.sum() == 3 + 2 + 5 * COUNTED_LABELS
    assert counts[labels.index("siren"), labels.index("dog")] == 3


def test_for_an_unknown_checkpoint_those_that_have_answered_are_named(home: Home) -> None:
    with pytest.raises(StorageError, match=f"those that have: {OLD}, {NEW}"):
        ask(home, OLD, "1999")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((OLD, UNUSED), f"no checkpoint {UNUSED} has answered; those that have: {OLD}, {NEW}"),
        ((OLD, "2026"), f"2026 may be {OLD} or {NEW}"),
        ((OLD, OLD), "name two checkpoints"),
        ((OLD, NEW, "--path", "nowhere/*"), "no recording that fits was .*run `clfd rescore"),
        ((OLD, NEW, "--plot", "c.gif"), r"a \.png or an \.svg"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_line(
    home: Home, words: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(StorageError, match=reason):
        ask(home, *words)
