from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import clfd
from storage.commands.context import Invocation
from storage.home.daemon_lock import DaemonLock, write_status
from storage.home.paths import Home

HERE = str(Path(clfd.__file__).parent)
PACKAGES = str(Path(click.__file__).parents[1])


def run(*arguments: str) -> Result:
    return CliRunner().invoke(clfd.cli, arguments, obj=Invocation())


def test_help_loads_click_and_the_standard_library_only() -> None:
    program = (
        "import sys, clfd\n"
        "try: clfd.main()\n"
        "finally: print(*{name.partition('.')[0] for name in sys.modules}"
        " - set(sys.stdlib_module_names), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": os.pathsep.join((HERE, PACKAGES))},
    )
    ours = {"clfd", "classifier", "daemon", "storage", "trainer", "web"}
    assert set(done.stderr.split()) - ours - {"__main__"} == {"click"}


def test_help_does_not_read_what_is_installed() -> None:
    """The version is asked of the packages' metadata, which costs more than click."""
    program = "import sys, clfd; sys.exit('importlib.metadata' in sys.modules)"
    command = [sys.executable, "-S", "-c", program]
    environment = {"PYTHONPATH": os.pathsep.join((HERE, PACKAGES))}
    assert subprocess.run(command, env=environment).returncode == 0


def test_the_status_of_a_running_daemon_is_shown_without_loading_what_reads_ledgers(
    tmp_path: Path,
) -> None:
    """Loading that takes three times as long as all the rest."""
    program = (
        "import sys, clfd\n"
        "try: clfd.main()\n"
        "finally: print({'sqlalchemy', 'pydantic', 'torch'} & sys.modules.keys(), file=sys.stderr)"
    )
    home = Home(tmp_path)
    with DaemonLock.acquire(home):
        write_status(home, {"pid": os.getpid(), "done": 7, "version": "1"})
        command = [sys.executable, "-c", program, "--home", str(tmp_path), "status"]
        printed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert printed.stderr == "set()\n"
    assert f"yes, pid {os.getpid()} on " in printed.stdout


def test_the_version_is_printed() -> None:
    assert run("--version").stdout == f"clfd {version('clfd-daemon')}\n"


def test_the_home_may_stand_before_or_after_the_verb(tmp_path: Path) -> None:
    before = run("--home", str(tmp_path), "config", "path")
    after = run("config", "path", "--home", str(tmp_path))
    assert before.stdout == after.stdout == f"{tmp_path / 'clfd.toml'}\n"


def test_an_error_of_ours_is_one_line_and_an_exit_code(tmp_path: Path) -> None:
    done = run("--home", str(tmp_path / "none"), "results")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        f"clfd: there is no ledger at {tmp_path / 'none' / 'clfd.db'}; `clfd init` makes one\n"
    )


def test_a_wrong_setting_ends_with_78_and_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLFD_ENGINE__DEVISE", "cpu")
    done = run("--home", str(tmp_path), "results")
    assert done.exit_code == 78
    assert "CLFD_ENGINE__DEVICE" in done.stderr


def test_wrong_usage_ends_with_2(tmp_path: Path) -> None:
    assert run("--home", str(tmp_path), "results", "--min-confidence", "7").exit_code == 2


@pytest.mark.parametrize("verbose", [(), ("-v",)])
def test_a_fault_of_ours_shows_its_traceback_only_when_asked(
    monkeypatch: pytest.MonkeyPatch, verbose: tuple[str, ...]
) -> None:
    @click.command()
    def config() -> None:
        raise KeyError("surprise")

    monkeypatch.setattr("storage.commands.config.config", config)
    done = run("config", *verbose)
    assert done.exit_code == 1
    assert "clfd: unexpected KeyError: 'surprise'" in done.stderr
    assert ("Traceback" in done.stderr) == bool(verbose)
    assert verbose or len(done.stderr.splitlines()) == 1


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def config() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("storage.commands.config.config", config)
    assert run("config").exit_code == 130
