"""What every command is handed: the options that stand before or after any verb."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path

    from storage.home.paths import Home
    from storage.settings.schema import Settings
    from storage.values.decision import DisplayRules


@dataclass
class Invocation:
    """`--home`, `-v` (+1 each) and `-q` (-1) of one call."""

    home_option: Path | None = None
    verbosity: int = 0

    def say(self, line: str) -> None:
        """Beside the data, unless `-q` is given."""
        if self.verbosity >= 0:
            click.echo(line, err=True)

    def home(self) -> Home:
        from storage.home.paths import resolve_home

        return resolve_home(self.home_option)

    def database(self) -> str:
        """The ledger's URL. Raises SettingsError."""
        from storage.settings.effective import effective_database

        return effective_database(self.home())

    def display_rules(self) -> DisplayRules:
        """How stored predictions are shown. Raises SettingsError."""
        from storage.settings.effective import effective_display_rules

        return effective_display_rules(self.home())

    def settings(self, **overrides: object) -> Settings:
        """The effective settings; keys are dotted (`**{"engine.device": "cpu"}`), None is ignored.

        Raises SettingsError.
        """
        from storage.settings.loading import load_settings

        given = {key: value for key, value in overrides.items() if value is not None}
        return load_settings(self.home(), given)
