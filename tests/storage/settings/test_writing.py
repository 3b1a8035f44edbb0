"""A threshold is written into clfd.toml, and nothing else of it changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from storage.errors import ConfigurationError
from storage.home.paths import Home
from storage.settings.loading import load_settings
from storage.settings.writing import write_threshold

BEFORE = """\
# the yard
inbox = "yard"  # a card a week

[results]
thresholds = ["dog=0.5"]
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.settings_file.write_text(BEFORE)
    home.settings_file.chmod(0o640)
    return home


def test_comments_and_other_settings_stay(home: Home) -> None:
    line = write_threshold(home, "siren", 0.815)
    assert line == 'results.thresholds = ["dog=0.5", "siren=0.815"]'
    assert home.settings_file.read_text().splitlines()[:3] == BEFORE.splitlines()[:3]
    assert load_settings(home).results.thresholds == ("dog=0.5", "siren=0.815")
    assert home.settings_file.stat().st_mode & 0o777 == 0o640


def test_a_label_has_one_threshold(home: Home) -> None:
    write_threshold(home, "dog", 0.9)
    assert load_settings(home).results.thresholds == ("dog=0.9",)


def test_a_home_without_settings_gets_some(tmp_path: Path) -> None:
    write_threshold(Home(tmp_path), "dog", 0.9)
    assert load_settings(Home(tmp_path)).results.thresholds == ("dog=0.9",)


def test_a_file_that_is_no_toml_is_left_alone(home: Home) -> None:
    home.settings_file.write_text("inbox = ")
    with pytest.raises(ConfigurationError, match="yourself"):
        write_threshold(home, "dog", 0.9)
    assert home.settings_file.read_text() == "inbox = "


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file away")
def test_a_file_of_another_user_is_left_alone(home: Home) -> None:
    os.chown(home.settings_file, 12345, -1)
    with pytest.raises(ConfigurationError, match="another user"):
        write_threshold(home, "dog", 0.9)
    assert home.settings_file.read_text() == BEFORE


@pytest.mark.parametrize("label", [" ", "\n"])
def test_a_threshold_that_settings_would_refuse_is_not_written(home: Home, label: str) -> None:
    with pytest.raises(ConfigurationError, match="is no threshold"):
        write_threshold(home, label, 0.9)
    assert home.settings_file.read_text() == BEFORE


def test_settings_that_are_wrong_are_told_and_left_alone(home: Home) -> None:
    home.settings_file.write_text("nonsense = 1\n")
    with pytest.raises(ConfigurationError, match="unknown setting nonsense"):
        write_threshold(home, "dog", 0.9)
    assert home.settings_file.read_text() == "nonsense = 1\n"


def test_a_link_is_left_alone(home: Home, tmp_path: Path) -> None:
    elsewhere = home.settings_file.rename(tmp_path / "elsewhere.toml")
    home.settings_file.symlink_to(elsewhere)
    with pytest.raises(ConfigurationError, match="link"):
        write_threshold(home, "dog", 0.9)
    assert home.settings_file.is_symlink()


def test_one_text_with_commas_keeps_its_thresholds(home: Home) -> None:
    home.settings_file.write_text('[results]\nthresholds = "dog=0.5,cat=0.25"\n')
    write_threshold(home, "dog", 0.9)
    assert load_settings(home).results.thresholds == ("cat=0.25", "dog=0.9")
