"""Sounds as a benchmark makes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.benchmark.files import make_sounds


@pytest.fixture
def sounds(tmp_path: Path) -> Callable[..., list[Path]]:
    def make(suffix: str = "wav", count: int = 3) -> list[Path]:
        folder = tmp_path / suffix
        folder.mkdir()
        return make_sounds(folder, suffix, count, seconds=0.5)

    return make
