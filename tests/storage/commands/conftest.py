"""A home of three recordings for the commands."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from label_commands import fill_home

from storage.home.paths import Home


@pytest.fixture(scope="module")
def filled_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """It is only copied: a ledger that is made for each test takes five times as long."""
    return fill_home(tmp_path_factory.mktemp("filled"))


@pytest.fixture
def home(filled_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("CLFD_DATABASE", raising=False)
    return Home(Path(shutil.copytree(filled_home.root, tmp_path / "home")))
