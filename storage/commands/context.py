"""What every command is handed: the options that stand before or after any verb."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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

    def home(self) -> Home:
        from storage.home.paths import resolve_home

        return resolve_home(self.home_option)

    def database(self) -> str:
        """`settings().database`; where no source sets anything, without loading the checks.

        Raises SettingsError.
        """
        from storage.settings.sources import database_url, setting_layers

        home = self.home()
        return (
            self.settings().database if any(setting_layers(home, {})) else database_url(home.root)
        )

    def display_rules(self) -> DisplayRules:
        """`settings().results.display_rules`, likewise."""
        from storage.settings.sources import setting_layers
        from storage.values.decision import DisplayRules

        return (
            self.settings().results.display_rules
            if any(setting_layers(self.home(), {}))
            else DisplayRules()
        )

    def settings(self, **overrides: object) -> Settings:
        """The effective settings; keys are dotted (`**{"engine.device": "cpu"}`), None is ignored.

        Raises SettingsError.
        """
        from storage.settings.loading import load_settings

        given = {key: value for key, value in overrides.items() if value is not None}
        return load_settings(self.home(), given)
