"""The sources of settings: file, variables and command line, before anything is checked.

Loading the checks costs more than a light command takes. Where no source sets anything there is
nothing to check, and the defaults that such a command needs are here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from storage.errors import SettingsError
from storage.home.paths import Home
from storage.home.safe_open import open_without_waiting

PREFIX = "CLFD_"
# Variables of clfd that are no settings.
EXEMPT_VARIABLES = frozenset({"CLFD_HOME"})
SECTIONS = ("intake", "engine", "training", "checkpoints", "results", "log", "metrics", "hooks")
DEFAULT_DATABASE = "sqlite:///clfd.db"
_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class RawSetting:
    """A value as it is written, and where: clfd.toml, a variable's name, or command line."""

    value: object
    source: str


def setting_layers(
    home: Home, overrides: Mapping[str, object], environ: Mapping[str, str] = os.environ
) -> list[dict[str, RawSetting]]:
    """By dotted key, the strongest source last. Raises SettingsError for a file that is no TOML."""
    file, variables = _from_file(home.settings_file), _from_environment(environ)
    return [
        {key: RawSetting(value, home.settings_file.name) for key, value in file.items()},
        {key: RawSetting(value, name) for key, (name, value) in variables.items()},
        {key: RawSetting(value, "command line") for key, value in overrides.items()},
    ]


def database_url(root: Path, url: str = DEFAULT_DATABASE) -> str:
    """The URL with a relative SQLite file put into the home."""
    if not url.startswith(_SQLITE):
        return url
    # A URL reads these two as the beginning of an escape and of its query.
    escaped = Path(str(root).replace("%", "%25").replace("?", "%3F"))
    return f"{_SQLITE}{escaped / url.removeprefix(_SQLITE)}"


def _from_file(file: Path) -> dict[str, object]:
    try:
        with open(file, "rb", opener=open_without_waiting) as opened:
            content = opened.read()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise SettingsError(f"cannot read {file}: {error.strerror}") from error
    import tomllib

    try:
        return dict(flat(tomllib.loads(content.decode())))
    except (ValueError, RecursionError) as error:  # the former also for what is not UTF-8
        raise SettingsError(f"{file} is not valid TOML: {error}") from error


def flat(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Values by dotted key."""
    for name, value in table.items():
        key = f"{prefix}{name}"
        # An empty table is harmless where it is a known section; elsewhere it is an unknown key.
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
