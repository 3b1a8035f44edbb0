"""Settings loaded: command line > CLFD_SECTION__KEY > clfd.toml > default, merged and checked.

An unknown key is refused with the nearest valid one. Loading the checks (pydantic) costs more than
a light command takes: where no source sets anything there is nothing to check.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from storage.errors import SettingsError
from storage.home.folder_walk import overlap
from storage.home.paths import Home, database_url
from storage.home.safe_open import read_bounded
from storage.values.decision import DisplayRules
from storage.values.http_headers import HIDDEN, hidden

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

    from storage.settings.schema import Settings

PREFIX = "CLFD_"
# Variables of clfd that are no settings.
EXEMPT_VARIABLES = frozenset({"CLFD_HOME"})
SECTIONS = (
    *("intake", "engine", "training", "checkpoints", "results", "log", "metrics", "hooks"),
    *("web", "fleet"),
)


@dataclass(frozen=True)
class Setting:
    """A value and where it came from: default, clfd.toml, a variable's name, or command line."""

    key: str  # dotted
    value: object
    source: str


@dataclass(frozen=True)
class SettingDescription:
    """One line of the table of all settings."""

    key: str
    variable: str
    default: object
    description: str


def load_settings(
    home: Home,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """`overrides` has dotted keys and stands for the command line.

    Raises SettingsError: one line with every unknown key and every value that is not allowed.
    """
    return _validated(home, _raw_settings(home, overrides or {}, environ))


def effective_database(home: Home) -> str:
    """The ledger's URL, without the checks where nothing is set. Raises SettingsError."""
    is_set = bool(given_settings(home, {}))
    return load_settings(home).database if is_set else database_url(home.root)


def effective_display_rules(home: Home) -> DisplayRules:
    """How stored predictions are shown, as light. Raises SettingsError."""
    is_set = bool(given_settings(home, {}))
    return load_settings(home).results.display_rules if is_set else DisplayRules()


def effective_settings(home: Home) -> list[Setting]:
    """Every setting with its value (plain text, numbers and lists) and its source; no secrets.

    Raises SettingsError like `load_settings`.
    """
    raw = _raw_settings(home, {}, os.environ)
    values = dict(flat(_validated(home, raw).model_dump(mode="json")))
    return [
        Setting(key, _shown(key, values[key]), raw[key].source if key in raw else "default")
        for key, _ in _fields()
    ]


def described_settings() -> list[SettingDescription]:
    """Every setting with its variable, default and reason, in the order of the sections."""
    return [
        SettingDescription(
            key, _variable(key), field.default, " ".join((field.description or "").split())
        )
        for key, field in _fields()
    ]


def _fields() -> Iterator[tuple[str, FieldInfo]]:
    from storage.settings.schema import Section, Settings

    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            yield from ((f"{name}.{key}", inner) for key, inner in section.model_fields.items())
        else:
            yield name, field


def _variable(key: str) -> str:
    return PREFIX + key.replace(".", "__").upper()


def _raw_settings(
    home: Home, overrides: Mapping[str, object], environ: Mapping[str, str]
) -> dict[str, Setting]:
    """The settings of all sources by dotted key; the strongest source wins."""
    given = given_settings(home, overrides, environ)
    keys = [key for key, _ in _fields()]
    problems = [
        f"unknown setting {_named(each.key, each.source)}; {_remedy(each, keys)}"
        for each in given
        if each.key not in keys
    ]
    if problems:
        raise SettingsError("; ".join(problems))
    return {each.key: each for each in given}


def _remedy(given: Setting, keys: list[str]) -> str:
    section, _, key = given.key.rpartition(".")
    if section and key in keys:
        return f"{key} is in no section: write it above the first one"
    return f"did you mean {_spelled(_nearest(given.key, keys), given.source)}?"


def _named(key: str, source: str) -> str:
    spelled = _spelled(key, source)
    return spelled if spelled == source else f"{spelled} ({source})"


def _spelled(key: str, source: str) -> str:
    """As it is written in its source: a variable's name in the environment."""
    return _variable(key) if source.startswith(PREFIX) else key


def _nearest(key: str, keys: list[str]) -> str:
    """Whole keys are compared, and their last words: `devise` means engine.device."""

    def likeness(candidate: str) -> float:
        whole = SequenceMatcher(None, key, candidate).ratio()
        last = SequenceMatcher(None, key.split(".")[-1], candidate.split(".")[-1]).ratio()
        return max(whole, last)

    return max(keys, key=likeness)


def _validated(home: Home, raw_settings: Mapping[str, Setting]) -> Settings:
    from pydantic import ValidationError

    from storage.settings.schema import Settings

    nested: dict[str, object] = {}
    for key, raw in raw_settings.items():
        section, dot, name = key.rpartition(".")
        table = nested.setdefault(section, {}) if dot else nested
        assert isinstance(table, dict)
        table[name] = raw.value
    try:
        settings = Settings.model_validate(nested, context={"home": home})
    except ValidationError as error:
        problems = dict.fromkeys(_problem(details, raw_settings) for details in error.errors())
        raise SettingsError("; ".join(problems)) from error
    _refuse_overlapping_archive(home, settings, raw_settings)
    return settings


def _refuse_overlapping_archive(
    home: Home, settings: Settings, raw_settings: Mapping[str, Setting]
) -> None:
    """A moved file must not come in again, nor lie among clfd's own; links are followed."""
    if settings.archive is None:
        return
    archive = settings.archive.resolve()
    own_folders = (home.checkpoints, home.reports, home.runs, home.compiled)
    for folder in (*settings.inboxes, *own_folders):
        real = folder.resolve()
        if archive.is_relative_to(real) or real.is_relative_to(archive):
            key = "intake.archive_dir"
            raw = raw_settings[key]
            raise SettingsError(
                f"{_named(key, raw.source)} = {raw.value!r}: {settings.archive} and {folder}"
                " overlap; choose a folder apart"
            )


def refuse_overlapping_folders(settings: Settings) -> None:
    """As they are now, by device and inode: links and mounts give one folder several names.

    Raises SettingsError. It looks at the folders, which may take long where a share is away.
    """
    for inbox, other in combinations(settings.inboxes, 2):
        if overlap(inbox, other):
            raise SettingsError(f"inbox: {inbox} and {other} overlap; a file belongs to one inbox")
    for inbox in settings.inboxes:
        if settings.archive is not None and overlap(inbox, settings.archive):
            raise SettingsError(
                f"intake.archive_dir: {settings.archive} and {inbox} overlap; choose a folder apart"
            )


def _problem(details: ErrorDetails, raw_settings: Mapping[str, Setting]) -> str:
    key = ".".join(str(part) for part in details["loc"] if isinstance(part, str))
    raw = raw_settings[key]
    allowed = details["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{_named(key, raw.source)} = {_shown(key, raw.value)!r}: {allowed}"


def _shown(key: str, value: object) -> object:
    if key != "hooks.headers":
        return value
    return [hidden(str(text)) for text in value] if isinstance(value, list) else HIDDEN


# --- the sources


def given_settings(
    home: Home, overrides: Mapping[str, object], environ: Mapping[str, str] = os.environ
) -> list[Setting]:
    """As written, the strongest source last. Raises SettingsError for a file that is no TOML."""
    file = home.settings_file
    return [
        *(Setting(key, value, file.name) for key, value in _from_file(file).items()),
        *_from_environment(environ),
        *(Setting(key, value, "command line") for key, value in overrides.items()),
    ]


def _from_file(file: Path) -> dict[str, object]:
    try:
        text = read_bounded(file).decode("utf-8-sig")  # Notepad begins it with a mark
        import tomllib

        return dict(flat(tomllib.loads(text)))
    except FileNotFoundError:
        return {}
    except OSError as error:
        remedy = "make it a file that clfd may read, or move it away"
        raise SettingsError(f"cannot read {file}: {error.strerror}; {remedy}") from error
    except (ValueError, RecursionError) as error:
        # As after pasting an example below the sections that `clfd init` wrote.
        remedy = "; put your keys under the section that is there" * ("twice" in str(error))
        raise SettingsError(f"{file} is not valid TOML: {error}{remedy}") from error


def flat(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Values by dotted key."""
    for name, value in table.items():
        key = f"{prefix}{name}"
        # An empty table is harmless where it is a known section; elsewhere it is an unknown key.
        if isinstance(value, Mapping) and (value or key in SECTIONS):
            yield from flat(value, f"{key}.")
        else:
            yield key, value


def _from_environment(environ: Mapping[str, str]) -> Iterator[Setting]:
    for name, value in environ.items():
        if name.startswith(PREFIX) and name not in EXEMPT_VARIABLES:
            key = name.removeprefix(PREFIX).lower().replace("__", ".")
            yield Setting(key, value.split(os.pathsep) if key == "inbox" else value, name)
