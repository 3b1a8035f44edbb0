"""The tests pass wherever they are started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ONE_WITH_A_DAEMON = (
    "tests/daemon/control/test_reload.py::test_a_terminal_that_closes_stops_the_daemon_in_order"
)


def test_a_daemon_of_the_tests_inherits_neither_ignored_signals_nor_settings(
    tmp_path: Path,
) -> None:
    pytest = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider"]
    done = subprocess.run(
        ["nohup", *pytest, "--basetemp", str(tmp_path / "tests"), ONE_WITH_A_DAEMON],
        cwd=ROOT,
        env=os.environ | {"CLFD_ENGINE__DEVISE": "no such setting"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,  # without a terminal
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
