"""`clfd config show`, `clfd config path`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from storage.commands.context import Invocation


@click.group()
def config() -> None:
    """The settings and where they come from.

    \b
    Example:
      clfd config show
    """


@config.command()
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["table", "toml", "json"]),
    default="table",
    show_default=True,
)
@click.pass_obj
def show(invocation: Invocation, file_format: str) -> None:
    """Each effective value and where it came from.

    \b
    Example:
      clfd config show --format toml
    """
    from storage.export.text_formats import output
    from storage.settings.config_table import write_settings
    from storage.settings.loading import effective_settings

    with output(None) as stream:
        write_settings(stream, effective_settings(invocation.home()), file_format)


@config.command()
@click.pass_obj
def path(invocation: Invocation) -> None:
    """Where the settings file is looked for.

    \b
    Example:
      clfd config path
    """
    click.echo(invocation.home().settings_file)
