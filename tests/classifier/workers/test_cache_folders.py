"""Caches and temporary files, for a user without a home that can be written."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from pathlib import Path

import pytest

from classifier.errors import TemporaryFolderError
from classifier.model.audio_format import AudioFormat
from classifier.model.log_mel import mel_filter_bank
from classifier.workers.cache_folders import VARIABLES, writable_caches
from classifier.workers.process import temporary_folder


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "TMPDIR"):
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


@pytest.fixture
def read_only_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose root cannot be written: no folder for temporary files."""

    def temporary_files() -> str:
        if "TMPDIR" in os.environ:
            return os.environ["TMPDIR"]
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setattr("classifier.workers.cache_folders.TEMPORARY_FOLDERS", ("/nonexistent",))
    monkeypatch.setattr(tempfile, "gettempdir", temporary_files)


@pytest.mark.usefixtures("read_only_system")
def test_a_system_without_a_temporary_folder_has_one_in_the_home_of_clfd(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CLFD_HOME", str(tmp_path))
    with writable_caches():
        assert os.environ["TMPDIR"] == str(tmp_path)
        assert os.environ["NUMBA_CACHE_DIR"].startswith(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("read_only_system")
def test_a_command_that_needs_no_cache_runs_where_nothing_can_be_written() -> None:
    with writable_caches():
        assert not {*VARIABLES, "TMPDIR"} & os.environ.keys()


@pytest.mark.usefixtures("read_only_system")
def test_a_command_that_needs_a_temporary_folder_says_how_to_name_one() -> None:
    with pytest.raises(
        TemporaryFolderError, match=r"No usable temporary .*; set TMPDIR to a folder"
    ):
        temporary_folder("clfd-demo")


def test_a_bank_that_librosa_has_no_cache_for_says_how_to_name_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "librosa.py").write_text("raise RuntimeError('no locator available')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "librosa", raising=False)
    with pytest.raises(TemporaryFolderError, match="no locator available; set TMPDIR to a folder"):
        mel_filter_bank(AudioFormat())


def test_pictures_that_matplotlib_has_no_folder_for_say_how_to_name_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "matplotlib.py").write_text("raise OSError('no writable cache directory')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "trainer.reports.figures", raising=False)
    with pytest.raises(TemporaryFolderError, match="keeps; set TMPDIR to a folder"):
        importlib.import_module("trainer.reports.figures")


def test_a_folder_that_cannot_be_written_is_not_taken_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "numba"))
    with writable_caches():
        assert not os.environ["NUMBA_CACHE_DIR"].startswith(str(tmp_path))


def test_what_the_environment_names_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "new" / "numba"))
    with writable_caches():
        assert os.environ["NUMBA_CACHE_DIR"] == str(tmp_path / "new" / "numba")
