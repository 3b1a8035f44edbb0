"""Commands whose standard streams are closed or full."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")
PROGRAM = (
    "import os, subprocess, sys\n"
    "import storage.values.standard_streams as streams\n"
    "from storage.errors import StorageError\n"
    "streams.repair_standard_streams()\n"
)
TELL = "except StorageError as error: print(error, file=sys.stderr)\n"


def run(shell_end: str, program: str) -> subprocess.CompletedProcess[str]:
    command = f'"$0" -c "$1" {shell_end}'
    return subprocess.run(
        ["sh", "-c", command, sys.executable, PROGRAM + program],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        check=False,
    )


@pytest.mark.parametrize(
    "end",
    [
        ">&-",
        pytest.param(
            ">/dev/full", marks=pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
        ),
    ],
)
def test_an_output_that_cannot_be_written_is_one_error(end: str) -> None:
    program = f"try:\n    print('result', flush=True)\n{TELL}"
    ended = run(end, program)
    assert ended.stderr.startswith("cannot write to standard output: ")
    assert (ended.returncode, ended.stderr.count("\n")) == (0, 1)


@pytest.mark.parametrize("end", ["2>&-", "2>/dev/full"])
def test_nothing_depends_on_standard_error(end: str) -> None:
    ended = run(end, "print('note', file=sys.stderr); print('result')")
    assert (ended.returncode, ended.stdout) == (0, "result\n")


def test_no_file_takes_the_number_of_a_closed_stream() -> None:
    program = "sys.exit(0 if os.open(os.devnull, os.O_RDONLY) > 2 else 1)"
    assert run("<&- >&- 2>&-", program).returncode == 0


def test_programs_that_are_started_have_the_streams_as_well() -> None:
    child = "import os; os.fstat(0), os.fstat(1), os.fstat(2)"
    program = f"sys.exit(subprocess.call([sys.executable, '-c', '{child}']))"
    assert run("<&- >&- 2>&-", program).returncode == 0


def test_a_name_that_the_terminal_cannot_show_is_escaped() -> None:
    assert run("", "print('caf\\udce9')").stdout == "caf\\udce9\n"


def test_a_reader_that_leaves_ends_the_output() -> None:
    program = "with streams.quiet_end_of_stdout():\n    for _ in range(10**5): print('x' * 100)\n"
    ended = run("| head -1", program)
    assert (ended.stdout, ended.stderr) == ("x" * 100 + "\n", "")
