"""Settings loaded: command line > CLFD_SECTION__KEY > clfd.toml > default, merged and checked.

An unknown key is refused with the nearest valid one.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from storage.errors import SettingsError
from storage.home.paths import Home
from storage.settings.schema import Section, Settings
from storage.settings.sources import PREFIX, RawSetting, flat, setting_layers

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EffectiveSetting:
    """One value and where it came from: default, clfd.toml, a variable, or command line."""

    key: str
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


def effective_settings(
    home: Home,
    overrides: Mapping[str, object] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> list[EffectiveSetting]:
    """Every setting with its value (plain text, numbers and lists). Raises SettingsError."""
    raw = _raw_settings(home, overrides or {}, environ)
    values = dict(flat(_validated(home, raw).model_dump(mode="json")))
    return [
        EffectiveSetting(key, values[key], raw[key].source if key in raw else "default")
        for key, _ in _fields()
    ]


def described_settings() -> list[SettingDescription]:
    """Every setting with its variable, default and reason, in the order of the sections."""
    return [
        SettingDescription(key, _variable(key), field.default, _reason(field))
        for key, field in _fields()
    ]


def _fields() -> Iterator[tuple[str, FieldInfo]]:
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, Section):
            yield from ((f"{name}.{key}", inner) for key, inner in section.model_fields.items())
        else:
            yield name, field


def _reason(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())


def _variable(key: str) -> str:
    return PREFIX + key.replace(".", "__").upper()


def _raw_settings(
    home: Home, overrides: Mapping[str, object], environ: Mapping[str, str]
) -> dict[str, RawSetting]:
    """The settings of all sources by dotted key; the strongest source wins."""
    layers = setting_layers(home, overrides, environ)
    given = {key: raw for layer in layers for key, raw in layer.items()}
    _refuse_unknown((key, raw.source) for layer in layers for key, raw in layer.items())
    return given


def _refuse_unknown(keys_and_sources: Iterator[tuple[str, str]]) -> None:
    known = [key for key, _ in _fields()]
    problems = [
        f"unknown setting {_named(key, source)}; did you mean"
        f" {_spelled(_nearest(key, known), source)}?"
        for key, source in keys_and_sources
        if key not in known
    ]
    if problems:
        raise SettingsError("; ".join(problems))


def _named(key: str, source: str) -> str:
    spelled = _spelled(key, source)
    return spelled if spelled == source else f"{spelled} ({source})"


def _spelled(key: str, source: str) -> str:
    """As it is written in its source: a variable's name in the environment."""
    return _variable(key) if source.startswith(PREFIX) else key


def _nearest(key: str, known: list[str]) -> str:
    """Whole keys are compared, and their last words: `devise` means engine.device."""

    def likeness(candidate: str) -> float:
        whole = SequenceMatcher(None, key, candidate).ratio()
        last = SequenceMatcher(None, key.split(".")[-1], candidate.split(".")[-1]).ratio()
        return max(whole, last)

    return max(known, key=likeness)


def _validated(home: Home, raw_settings: Mapping[str, RawSetting]) -> Settings:
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
    home: Home, settings: Settings, raw_settings: Mapping[str, RawSetting]
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


def _problem(details: ErrorDetails, raw_settings: Mapping[str, RawSetting]) -> str:
    key = ".".join(str(part) for part in details["loc"] if isinstance(part, str))
    raw = raw_settings[key]
    allowed = details["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{_named(key, raw.source)} = {raw.value!r}: {allowed}"
