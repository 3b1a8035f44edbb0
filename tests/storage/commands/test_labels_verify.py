"""`clfd labels verify` asks, keeps what was said, and ends in a threshold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_rows import add
from typed_commands import typed

from storage.database.engine import open_database
from storage.home.paths import Home
from storage.ledger.ledger import Ledger
from storage.settings.loading import load_settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """Twenty sure dogs and twenty unsure ones."""
    home = Home(tmp_path / "home")
    home.create()
    monkeypatch.setenv("CLFD_HOME", str(home.root))
    with Ledger(open_database(f"sqlite:///{home.ledger_file}", "daemon")) as ledger:
        for number in range(20):
            add(ledger, f"sure-{number}.wav", "dog", 0.95)
            add(ledger, f"unsure-{number}.wav", "dog", 0.55)
    yield home


def test_the_threshold_that_follows_is_written_on_demand(home: Home) -> None:
    turns = "n\ny\n" * 20  # unsure ones are wrong, and they take turns with the sure ones
    found = typed(["labels", "verify", "--label", "dog", "--write"], answers=turns)
    assert found.exit_code == 0, found.output
    assert "dog: 50.0% right" in found.stdout
    assert load_settings(home).results.thresholds == ("dog=0.95",)


def test_it_goes_on_where_it_was_left(home: Home) -> None:
    first = typed(["labels", "verify", "--label", "dog", "--n", "10"], answers="n\ny\nu\ny\nq\n")
    assert "1/10" in first.stderr and "nothing was judged" not in first.stdout
    rest = typed(["labels", "verify", "--label", "dog"], answers="")
    assert "1/38" in rest.stderr
    assert "no threshold reaches" in rest.stdout


def test_what_nobody_was_asked_of_has_no_threshold(home: Home) -> None:
    found = typed(["labels", "verify", "--label", "cat"])
    assert "no answer cat is left" in found.stderr
    assert "nothing was judged so far" in found.stdout
    assert found.exit_code == 0
