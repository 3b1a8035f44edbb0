"""The process of the daemon loads what its loop needs, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_daemon_loads_neither_networks_nor_tables() -> None:
    heavy = "{'torch', 'librosa', 'numba', 'scipy', 'pandas', 'matplotlib'}"
    program = f"import sys, daemon.app; sys.exit(str({heavy} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.strip() == "set()"
