"""Caches of libraries, for a user without a home that can be written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from classifier.workers.cache_folders import VARIABLES, writable_caches


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # put back as it was, in the end
        monkeypatch.delenv(name)


def test_a_user_without_a_home_has_caches_of_this_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    with writable_caches():
        (folder,) = {Path(os.environ[name]).parent for name in VARIABLES}
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_a_user_with_a_home_keeps_the_libraries_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with writable_caches():
        assert not VARIABLES.keys() & os.environ.keys()


def test_what_the_environment_names_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/var/cache/numba")
    with writable_caches():
        assert os.environ["NUMBA_CACHE_DIR"] == "/var/cache/numba"
