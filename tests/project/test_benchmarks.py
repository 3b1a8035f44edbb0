"""The benchmarks are run by hand; what they are made of changes meanwhile."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = (ROOT / "benchmarks").rglob("[a-z]*.py")
MODULES = sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in FILES)


@pytest.mark.parametrize("name", MODULES)
def test_a_benchmark_finds_what_it_imports(name: str) -> None:
    importlib.import_module(name)
