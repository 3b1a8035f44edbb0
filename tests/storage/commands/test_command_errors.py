"""Mistakes on the command line: one line, exit 2, and what was meant."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import clfd
from storage.commands.command_errors import denied_line
from storage.commands.context import Invocation


def run(*arguments: str) -> Result:
    return CliRunner().invoke(clfd.cli, arguments, obj=Invocation(), prog_name="clfd")


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("result", "no such command 'result'; did you mean 'results'?"),
        ("checkpoint list", "no such command 'checkpoint'; did you mean 'checkpoints'?"),
        ("checkpoints lst", "no such command 'lst'; did you mean 'list'?"),
        ("backup", "no such command 'backup'; did you mean 'db backup'?"),
        (
            "check",
            "no such command 'check'; did you mean 'checkpoints' or 'bulk check' or 'db check'?",
        ),
        ("zzz", "no such command 'zzz'; `clfd --help` shows what there is"),
        ("results --labl x", "no such option '--labl'; did you mean '--label' or '--labelled'?"),
        ("--hom x results", "no such option '--hom'; did you mean '--home'?"),
        ("--json status", "no such option '--json'; `clfd --help` shows what there is"),
        ("classify", "missing argument 'PATHS...'; `clfd classify --help` shows what there is"),
        ("classify none.wav", "there is no file or folder none.wav"),
        (
            "results --min-confidence 7",
            "invalid value for '--min-confidence': 7.0 is not in the range 0<=x<=1",
        ),
        (
            "results --limit x",
            "invalid value for '--limit': 'x' is no whole number",
        ),
        ("results --limit -1", "invalid value for '--limit': -1 is less than 0"),
        (
            "labels set a.wav dog;none",
            "LABEL: 'dog;none' says that there is something, and `none`; keep one",
        ),
        ("labels suggest --n 0", "invalid value for '--n': 0 is less than 1"),
        (
            f"labels list --limit {2**63}",
            f"invalid value for '--limit': {2**63} is too large",
        ),
        (
            "results --min-level loud",
            "invalid value for '--min-level': 'loud' is no number",
        ),
        (
            "db prune",
            "say what to prune: --superseded, --missing, --history or --older-than TIME",
        ),
    ],
)
def test_wrong_usage_is_one_line_that_names_what_was_meant(typed: str, told: str) -> None:
    done = run(*typed.split())
    assert (done.exit_code, done.stdout, done.stderr) == (2, "", f"clfd: {told}\n")


@pytest.mark.parametrize("command", ["classify", "train", "evaluate"])
def test_a_file_in_a_folder_that_may_not_be_entered_is_not_said_to_be_missing(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked, stat = str(tmp_path / "locked" / "x.csv"), os.stat

    def denying(path: str, *arguments: object, **options: object) -> object:
        if path == locked:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return stat(path, *arguments, **options)

    monkeypatch.setattr("os.stat", denying)
    assert run(command, locked).stderr == (
        f"clfd: cannot look at {locked}: Permission denied; check the permissions of its folder\n"
    )


def test_control_characters_of_what_was_typed_are_not_obeyed() -> None:
    assert run("a\nb").stderr.startswith("clfd: no such command 'a\\nb'")


def test_a_group_without_a_command_shows_its_help() -> None:
    assert "Commands:" in run("db").stderr


def test_what_the_system_denies_is_no_fault_of_clfd(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def config() -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/srv/clfd.db")

    monkeypatch.setattr("storage.commands.config.config", config)
    done = run("config")
    assert done.exit_code == 1
    assert done.stderr == (
        "clfd: /srv/clfd.db: Permission denied;"
        " change its permissions, or run clfd as a user who has them\n"
    )


@pytest.mark.parametrize("name", [Path("/full/a.csv"), b"/full/a.csv", "/full/a.csv"])
def test_a_full_disk_is_named_with_the_file(name: object) -> None:
    line = denied_line(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name))
    assert line == "/full/a.csv: No space left on device; make room on its disk"


def test_an_error_that_no_system_denied_stays_a_fault() -> None:
    assert denied_line(FileNotFoundError(errno.ENOENT, "No such file", "a")) is None
