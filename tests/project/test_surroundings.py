"""The tests pass wherever they are started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ASK = (
    "import os, signal;"
    "print(signal.getsignal(signal.SIGHUP), [name for name in os.environ if 'CLFD' in name])"
)


def test_a_process_of_the_tests_heeds_a_hangup_and_has_no_settings() -> None:
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True)
    assert done.stdout == "0 []\n"


def test_that_is_so_after_nohup_without_a_terminal_and_with_settings(tmp_path: Path) -> None:
    pytest = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider"]
    heeds = f"{__file__}::{test_a_process_of_the_tests_heeds_a_hangup_and_has_no_settings.__name__}"
    done = subprocess.run(
        ["nohup", *pytest, "--basetemp", str(tmp_path / "tests"), heeds],
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
