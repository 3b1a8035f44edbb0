"""How long the light commands take on a ledger with many rows."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.big_ledger import fill_ledger
from storage.home.paths import Home
from storage.settings.loading import load_settings

REPEATS = 7
LEDGER_ROWS = 100_000
COMMANDS = (["--help"], ["results"], ["results", "--count-by", "label"], ["status"])


def time_commands() -> Iterator[tuple[str, float]]:
    """Each command, and its seconds: the median, after a first call that warms the caches."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        home.create()
        fill_ledger(load_settings(home, environ={}), LEDGER_ROWS)
        for arguments in COMMANDS:
            seconds = _median_seconds(["--home", folder, *arguments])
            yield f"clfd {' '.join(arguments)}", seconds


def _median_seconds(arguments: Sequence[str]) -> float:
    times = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "clfd", *arguments], capture_output=True)
        times.append(time.perf_counter() - began)
    return sorted(times[1:])[REPEATS // 2]
