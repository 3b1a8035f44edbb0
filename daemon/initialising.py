"""`clfd init`: a home that a daemon can run in, made without touching what is there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from storage.home import FILE_MODE, Home
from storage.ledger import open_ledger
from storage.settings import SettingDescription, Settings, described_settings
from storage.shelf import Shelf


def initialise(home: Home, settings: Settings) -> Iterator[str]:
    """Makes what is missing; yields a line about each step."""
    home.create()
    yield f"home        {home.root}"
    yield f"settings    {home.settings_file}{_write_settings(home)}"
    with open_ledger(settings.database, "writer") as ledger:
        n_done = ledger.counts().get("done", 0)
    yield f"ledger      {settings.database} ({n_done} recordings done)"
    for inbox in settings.inboxes:
        yield f"inbox       {inbox}{'' if inbox.is_dir() else ' (missing: make or mount it)'}"
    active = Shelf(home.checkpoints).active()
    yield f"checkpoint  {active or 'none yet: make one with `clfd train LABELS.csv`'}"
    if active:
        yield "next        clfd run, and drop audio files into the inbox"


def _write_settings(home: Home) -> str:
    if home.settings_file.exists():
        return " (kept)"
    home.settings_file.write_text(default_settings_text(), encoding="utf-8")
    home.settings_file.chmod(FILE_MODE)
    return ""


def default_settings_text() -> str:
    """Every setting, commented out, with its reason: a file to edit."""
    lines = ["# clfd's settings; each line shows the default. `clfd config show` tells what holds."]
    for section, group in groupby(described_settings(), lambda setting: _section(setting.key)):
        lines += ["", f"[{section}]"] if section else [""]
        for setting in group:
            lines += [f"# {setting.description}", f"# {_name(setting)} = {_toml(setting.default)}"]
    return "\n".join(lines) + "\n"


def _section(key: str) -> str:
    return key.rpartition(".")[0]


def _name(setting: SettingDescription) -> str:
    return setting.key.rpartition(".")[2]


def _toml(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, int | float):
        return repr(value)
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
