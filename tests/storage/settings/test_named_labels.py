"""Labels that settings name and a checkpoint does not know."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.home.paths import Home
from storage.settings.loading import load_settings
from storage.settings.named_labels import unknown_labels

LABELS = ("dog", "Siren")


@pytest.mark.parametrize(
    ("key", "value", "sentences"),
    [
        ("hooks.labels", ["dog", "unknown"], []),
        (
            "hooks.labels",
            ["sirne", "xyz"],
            [
                "hooks.labels names 'sirne', which checkpoint c does not know; did you mean"
                " 'Siren'?",
                "hooks.labels names 'xyz', which checkpoint c does not know; it knows dog, Siren",
            ],
        ),
        (
            "results.thresholds",
            ["SIREN=0.8", "dog=0.5"],
            [
                "results.thresholds names 'SIREN', which checkpoint c does not know; did you mean"
                " 'Siren'?"
            ],
        ),
    ],
)
def test_a_label_that_is_not_known_is_named_with_the_nearest(
    tmp_path: Path, key: str, value: list[str], sentences: list[str]
) -> None:
    settings = load_settings(Home(tmp_path), {key: value}, environ={})
    assert unknown_labels(settings, "c", LABELS) == sentences
