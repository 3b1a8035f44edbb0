"""`clfd rescore`: which recordings are scored again, and what becomes of their answers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from ledger_rows import add

from storage.commands.context import Invocation
from storage.commands.rescore import rescore
from storage.database.engine import open_database
from storage.errors import StorageError
from storage.home.paths import Home
from storage.ledger.ledger import open_ledger
from storage.queries.filters import Filters
from storage.queries.results import results as rows_of


@pytest.fixture(scope="module")
def filled_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """It is only copied: a ledger that is made for each test takes five times as long."""
    home = Home(tmp_path_factory.mktemp("filled"))
    home.create()
    with open_ledger(url_of(home), "daemon") as ledger:
        add(ledger, "yard/a.wav", "dog", 0.9)
        add(ledger, "yard/b.wav", "siren", 0.5)
        add(ledger, "broken.wav", None)
    return home


@pytest.fixture
def home(filled_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("CLFD_DATABASE", raising=False)
    return Home(Path(shutil.copytree(filled_home.root, tmp_path, dirs_exist_ok=True)))


def url_of(home: Home) -> str:
    return f"sqlite:///{home.ledger_file}"


def ask(home: Home, *words: str) -> Result:
    return CliRunner().invoke(rescore, words, obj=Invocation(home.root), catch_exceptions=False)


def queued(home: Home) -> list[bytes]:
    with open_ledger(url_of(home), "editor") as ledger:
        return sorted(claim.path for claim in ledger.claim("me", 10, 3))


def test_all_that_was_answered_is_queued_and_nothing_else(home: Home) -> None:
    assert "queued 2 again" in ask(home).stderr
    assert queued(home) == [b"yard/a.wav", b"yard/b.wav"]


def test_filters_say_what_is_queued(home: Home) -> None:
    ask(home, "--max-confidence", "0.6")
    assert queued(home) == [b"yard/b.wav"]


def test_what_is_queued_already_is_not_queued_twice(home: Home) -> None:
    ask(home, "--label", "dog")
    assert "queued 1 again" in ask(home).stderr


def test_a_dry_run_queues_nothing(home: Home) -> None:
    assert "would queue 2 again" in ask(home, "--dry-run").stderr
    assert queued(home) == []


def test_answers_stay_until_there_are_new_ones(home: Home) -> None:
    ask(home)
    with open_database(url_of(home), "reader") as database, database.transaction() as connection:
        assert [row.label for row in rows_of(connection, Filters(), "path")] == ["dog", "siren"]


def test_nothing_that_matches_is_an_error_that_names_the_way_to_look(home: Home) -> None:
    with pytest.raises(StorageError, match="clfd results"):
        ask(home, "--label", "whale")


def test_only_answers_of_other_checkpoints_are_stale(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_database(url_of(home), "reader") as database, database.transaction() as connection:
        answered_by = next(rows_of(connection, Filters())).checkpoint
    monkeypatch.setattr(
        "storage.home.checkpoint_folder.resolve_reference",
        lambda _, word: answered_by if word else None,
    )
    assert "queued 0 again" in ask(home, "--stale").stderr
    monkeypatch.setattr(
        "storage.home.checkpoint_folder.resolve_reference",
        lambda _, word: "another" if word else None,
    )
    assert "queued 2 again" in ask(home, "--stale").stderr
