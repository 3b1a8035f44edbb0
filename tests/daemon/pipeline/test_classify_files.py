"""`clfd classify`: files that are named, without inbox or ledger."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from house import House

from daemon.pipeline.classify_files import classify_paths
from storage.settings.schema import load_settings


def test_a_folder_is_taken_without_what_the_settings_ignore_and_a_named_file_in_any_case(
    house: House,
    audio_file: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    taken, named = audio_file("taken.wav"), audio_file("named.wav")
    folder = tmp_path / "folder"
    folder.mkdir()
    taken.rename(folder / "taken.wav")
    audio_file("ignored.wav").rename(folder / "ignored.wav")
    environ = {"CLFD_INTAKE__IGNORE": "ignored.wav,named.wav", "CLFD_ENGINE__DECODE_WORKERS": "1"}
    settings = load_settings(house.home, environ=environ)
    paths = [folder, named]
    assert classify_paths(house.home, settings, paths, "active", "json", None, False) == 0
    found = json.loads(capsys.readouterr().out)
    assert [record["path"] for record in found] == [str(folder / "taken.wav"), str(named)]
