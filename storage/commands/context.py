"""What every command is handed: the options that stand before or after any verb."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from storage.home.paths import Home
    from storage.settings.schema import Settings
    from storage.values.decision import DisplayRules

HELP_NAMES = {"help_option_names": ["-h", "--help"]}


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


def _remember(ctx: click.Context, option: click.Parameter, value: Any) -> None:
    invocation = ctx.ensure_object(Invocation)
    if option.name == "home":
        invocation.home_option = value or invocation.home_option
    else:
        invocation.verbosity += value if option.name == "verbose" else -value


def common_options() -> list[click.Parameter]:
    """Options of the invocation, which may stand before or after the verb."""
    add = partial(click.Option, expose_value=False, callback=_remember)
    folder = click.Path(path_type=Path, file_okay=False)
    home = "The folder clfd keeps everything in. [default: $CLFD_HOME or the user's data]"
    return [
        add(["--home"], type=folder, help=home),
        add(["-v", "--verbose"], count=True, help="Say more; tracebacks."),
        add(["-q", "--quiet"], count=True, help="Say less; no progress."),
    ]


def add_common_options(command: click.Command) -> None:
    """Gives a command, and the commands below it, --home, -v, -q and -h; once."""
    if any(parameter.name == "home" for parameter in command.params):
        return
    command.params.extend(common_options())
    command.context_settings.update(HELP_NAMES)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            add_common_options(below)
