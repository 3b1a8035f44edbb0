"""A home with a week of answers, and pages on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from in_process import Commands, commands_in_process
from ledger_rows import week_of_answers
from page_client import page_of
from starlette.testclient import TestClient

from storage.home.paths import Home
from storage.ledger.ledger import Ledger


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


@pytest.fixture
def ledger(home: Home) -> Iterator[Ledger]:
    """Nine recordings of a week, by two labels (see `week_of_answers`)."""
    with week_of_answers(home.root) as ledger:
        yield ledger


@pytest.fixture
def page(home: Home, ledger: Ledger) -> Iterator[TestClient]:
    """Asked by ada, who is signed in."""
    with page_of(home) as client:
        yield client


@pytest.fixture
def commands() -> Iterator[Commands]:
    """What the page would start as processes, in this one."""
    with commands_in_process() as commands:
        yield commands
