"""What was said about settings: file, variables and command line, before anything is checked.

The checks cost more to load than a light command takes; where nothing was said there is nothing to
check, and the defaults that such a command needs stand here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from storage.errors import SettingsError
from storage.home.paths import Home

PREFIX = "CLFD_"
# Variables of ours that are no settings.
EXEMPT_VARIABLES = frozenset({"CLFD_HOME"})
SECTIONS = ("intake", "engine", "training", "checkpoints", "results", "log", "metrics", "hooks")
DEFAULT_DATABASE = "sqlite:///clfd.db"
_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class RawSetting:
    value: object
    source: str


def voices(
    home: Home, overrides: Mapping[str, object], environ: Mapping[str, str] = os.environ
) -> list[dict[str, RawSetting]]:
    """By dotted key, the strongest voice last. Raises SettingsError for a file that is no TOML."""
    file, variables = _from_file(home.settings_file), _from_environment(environ)
    return [
        {key: RawSetting(value, home.settings_file.name) for key, value in file.items()},
        {key: RawSetting(value, name) for key, (name, value) in variables.items()},
        {key: RawSetting(value, "command line") for key, value in overrides.items()},
    ]


def database_in(root: Path, url: str = DEFAULT_DATABASE) -> str:
    """The URL with a relative SQLite file put into the home."""
    if not url.startswith(_SQLITE):
        return url
    # A URL reads these two as the beginning of an escape and of its query.
    escaped = Path(str(root).replace("%", "%25").replace("?", "%3F"))
    return f"{_SQLITE}{escaped / url.removeprefix(_SQLITE)}"


def _from_file(file: Path) -> dict[str, object]:
    try:
        with open(file, encoding="utf-8", opener=_without_waiting) as opened:
            text = opened.read()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingsError(f"cannot read {file}: {error.strerror}") from error
    except ValueError as error:  # not UTF-8
        raise SettingsError(f"{file} is not valid TOML: {error}") from error
    import tomllib

    try:
        return dict(flat(tomllib.loads(text)))
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{file} is not valid TOML: {error}") from error


def _without_waiting(path: str, flags: int) -> int:
    """A pipe in the place of a file would have a running daemon wait for whoever writes to it."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def flat(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Values by dotted key."""
    for name, value in table.items():
        key = f"{prefix}{name}"
        # An empty table is harmless where it is a section of ours; elsewhere it is an unknown key.
        if isinstance(value, Mapping) and (value or key in SECTIONS):
            yield from flat(value, f"{key}.")
        else:
            yield key, value


def _from_environment(environ: Mapping[str, str]) -> dict[str, tuple[str, object]]:
    found: dict[str, tuple[str, object]] = {}
    for name, value in environ.items():
        if name.startswith(PREFIX) and name not in EXEMPT_VARIABLES:
            key = name.removeprefix(PREFIX).lower().replace("__", ".")
            found[key] = (name, value.split(os.pathsep) if key == "inbox" else value)
    return found
