"""Who may name a program that the daemon starts: its own user, and root.

The home belongs to a group, whose members may write `clfd.toml` or put another one in its place.
They share results, and not the rights of the daemon's user.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from typing import IO

from storage.errors import ConfigurationError
from storage.home.paths import Home
from storage.settings.schema import Hooks

VARIABLE = "CLFD_HOOKS__COMMAND"
OTHERS_MAY_WRITE = 0o022


def require_trusted(
    home: Home, command: Sequence[str], environ: Mapping[str, str] = os.environ
) -> None:
    """Raises ConfigurationError where somebody else may have named the command.

    The file is looked at and read through one descriptor: nobody can show one and have another
    one taken.
    """
    if environ.get(VARIABLE):
        return  # the stronger voice, and that of whoever starts the daemon
    file = home.settings_file
    try:
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as opened:
            is_ours, named = _is_ours(opened), _command_in(opened)
        is_ours = is_ours and _is_nobody_elses(file.parent.stat())  # who may rename, may replace
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"hooks.command: {file} cannot be read again: {error}") from error
    if not is_ours or named != tuple(command):
        raise ConfigurationError(
            f"hooks.command: others may write {file} or its folder, and would decide what the"
            f" daemon runs; set {VARIABLE} instead, or `chmod go-w` both"
        )


def _is_ours(opened: IO[bytes]) -> bool:
    return _is_nobody_elses(os.fstat(opened.fileno()))


def _is_nobody_elses(found: os.stat_result) -> bool:
    return found.st_uid in (0, os.geteuid()) and not found.st_mode & OTHERS_MAY_WRITE


def _command_in(opened: IO[bytes]) -> tuple[str, ...]:
    section = tomllib.load(opened).get("hooks", {})
    return Hooks(command=section.get("command", ())).command
