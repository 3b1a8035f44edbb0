"""The whole loop as a newcomer sees it: training, daemon, hot swap, all real."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_the_demo_shows_the_loop_and_leaves_nothing_behind(tmp_path: Path) -> None:
    # Where a test before this one loaded PyTorch's compiler, its cache already has another place.
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TORCH")}
    shown = subprocess.run(
        [sys.executable, "-m", "clfd", "demo"],
        env=clean | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 0, shown.stderr
    assert "without a restart" in shown.stdout
    assert list(tmp_path.iterdir()) == []
