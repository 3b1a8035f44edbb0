"""How many clips a batch has where nobody says."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.pipeline.scoring_setup import with_batches
from storage.home.paths import Home
from storage.settings.loading import load_settings


@pytest.mark.parametrize(("device", "size"), [("cpu", 32), ("mps", 32), ("cuda", 256)])
def test_a_batch_has_the_size_that_suits_the_device(tmp_path: Path, device: str, size: int) -> None:
    settings = load_settings(Home(tmp_path), environ={})
    assert with_batches(settings, device).engine.batch_clips == size


def test_a_size_that_was_set_is_kept(tmp_path: Path) -> None:
    settings = load_settings(Home(tmp_path), {"engine.batch_clips": 7}, environ={})
    assert with_batches(settings, "cuda").engine.batch_clips == 7
