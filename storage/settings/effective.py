"""Two effective settings that light commands need.

Loading all that checks settings takes longer than such a command; where no source sets anything
there is nothing to check.
"""

from __future__ import annotations

from storage.home.paths import Home
from storage.settings.sources import database_url, setting_layers
from storage.values.decision import DisplayRules


def effective_database(home: Home) -> str:
    """The ledger's URL. Raises SettingsError."""
    if not any(setting_layers(home, {})):
        return database_url(home.root)
    from storage.settings.loading import load_settings

    return load_settings(home).database


def effective_display_rules(home: Home) -> DisplayRules:
    """How stored predictions are shown. Raises SettingsError."""
    if not any(setting_layers(home, {})):
        return DisplayRules()
    from storage.settings.loading import load_settings

    return load_settings(home).results.display_rules
