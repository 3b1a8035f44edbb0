"""`clfd compare`: where two checkpoints say different things of the same recordings."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from storage.database import open_database
from storage.errors import StorageError
from storage.filters import Filters
from storage.home import Home
from storage.invocation import Invocation
from storage.ledger import Ledger, open_ledger
from storage.outcomes import Arrival, AudioFacts, Scored
from storage.rescoring import requeue_answered
from trainer.compare_commands import compare

OLD, NEW, UNUSED = (f"2026010{day}T000000Z-{day:08d}" for day in (1, 2, 3))
LABELS = ("dog", "siren")
ANSWERS = {"a.wav": ("dog", "dog"), "b.wav": ("dog", "siren"), "yard/c.wav": ("siren", "siren")}


def answer(ledger: Ledger, name: str, position: int) -> None:
    """The position-th answer of each recording in the queue, by the checkpoint of that name."""
    checkpoint_id = ledger.register_checkpoint(name, name, LABELS, 5.0, {})
    for claim in ledger.claim("me", 10, 3):
        label = ANSWERS[claim.path.decode()][position]
        facts = AudioFacts(f"{claim.recording_id:064d}", 5.0, 8000, 1)
        scores = struct.pack("<2f", 0.75, 0.25), struct.pack("<2e", 0.75, 0.25)
        told = (claim.recording_id, facts, checkpoint_id, label, 0.75, *scores, 5.0, 5.0, None)
        ledger.record([Scored(*told)])


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
    told = [str(word) for word in words]
    return CliRunner().invoke(compare, told, obj=Invocation(home.root), catch_exceptions=False)


def told(home: Home, *words: object) -> dict[str, Any]:
    return dict(json.loads(ask(home, OLD, NEW, "--json", *words).stdout))


def test_it_counts_in_how_many_both_agree(home: Home) -> None:
    found = told(home)
    assert (found["recordings"], found["agreed"]) == (3, 2)


def test_it_counts_each_label_by_both(home: Home) -> None:
    assert told(home)["labels"] == [
        {"label": "dog", "a": 2, "b": 1, "both": 1},
        {"label": "siren", "a": 1, "b": 2, "both": 1},
    ]


def test_it_names_the_pairs_that_differ(home: Home) -> None:
    (pair,) = told(home)["disagreements"]
    assert (pair["a"], pair["b"], pair["count"]) == ("dog", "siren", 1)


def test_it_lists_recordings_on_request(home: Home) -> None:
    assert [each["path"] for each in told(home, "--list", 5)["listed"]] == ["b.wav"]


def test_filters_say_which_recordings(home: Home) -> None:
    assert told(home, "--path", "yard/*")["recordings"] == 1


def test_the_table_tells_people_the_share_and_the_pairs(home: Home) -> None:
    text = ask(home, OLD, NEW).stdout
    assert "agree in 2 of 3 recordings (66.7%)" in text
    assert "A says" in text


@pytest.mark.parametrize(("name", "begin"), [("c.png", b"\x89PNG"), ("c.svg", b"<?xml")])
def test_the_picture_is_what_its_suffix_says(
    home: Home, tmp_path: Path, name: str, begin: bytes
) -> None:
    ask(home, OLD, NEW, "--plot", tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(begin)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((OLD, UNUSED), f"no checkpoint {UNUSED} has answered; those that have: {OLD}, {NEW}"),
        ((OLD, "2026"), f"2026 may be {OLD} or {NEW}"),
        ((OLD, OLD), "name two checkpoints"),
        ((OLD, NEW, "--path", "nowhere/*"), "no recording was scored by both"),
        ((OLD, NEW, "--plot", "c.gif"), r"a \.png or an \.svg"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_line(
    home: Home, words: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(StorageError, match=reason):
        ask(home, *words)
