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
from storage.home import Home
from storage.settings import Hooks

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
        with file.open("rb") as opened:
            is_ours, named = _is_ours(opened), _command_in(opened)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"hooks.command: {file} cannot be read again: {error}") from error
    if not is_ours or named != tuple(command):
        raise ConfigurationError(
            f"hooks.command: others may write {file}, and would decide what the daemon runs;"
            f" `chown` it to the daemon's user or root and `chmod go-w` it, or set {VARIABLE}"
        )


def _is_ours(opened: IO[bytes]) -> bool:
    found = os.fstat(opened.fileno())
    return found.st_uid in (0, os.geteuid()) and not found.st_mode & OTHERS_MAY_WRITE


def _command_in(opened: IO[bytes]) -> tuple[str, ...]:
    section = tomllib.load(opened).get("hooks", {})
    return Hooks(command=section.get("command", ())).command
