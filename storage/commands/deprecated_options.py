"""Options that commands had before: still accepted, so that scripts go on, with a warning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

# By command; every option takes a value.
RETIRED = {
    "bench": {"--plot": "`clfd bench` draws no picture any more; --json has its figures"},
}


def retired_options(command_name: str) -> Callable[[Command], Command]:
    """Give a command its retired options: hidden, without effect, with the warning on stderr."""

    def add(command: Command) -> Command:
        for name, warning in RETIRED[command_name].items():
            option = click.option(
                name, hidden=True, expose_value=False, callback=_warn, metavar=warning
            )
            command = option(command)
        return command

    return add


def _warn(_: click.Context, option: click.Parameter, value: Any) -> None:
    if value is not None:
        click.echo(f"clfd: {option.opts[0]} does nothing: {option.metavar}", err=True)
