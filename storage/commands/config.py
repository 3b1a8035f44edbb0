"""`clfd config show`, `clfd config path`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import click

from storage.commands.context import Invocation, json_option

if TYPE_CHECKING:
    from storage.settings.loading import Setting


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
@json_option("file_format")
@click.pass_obj
def show(invocation: Invocation, file_format: str) -> None:
    """Each effective value and where it came from.

    \b
    Example:
      clfd config show --format toml
    """
    from storage.export.text_formats import output, write_table
    from storage.settings.loading import effective_settings

    settings = effective_settings(invocation.home())
    with output(None) as stream:
        if file_format == "json":
            values = {s.key: {"value": s.value, "source": s.source} for s in settings}
            stream.write(json.dumps(values, ensure_ascii=False, indent=2) + "\n")
        elif file_format == "toml":
            stream.writelines(f"{line}\n" for line in _toml_lines(settings))
        else:
            rows = [(s.key, _plain(s.value), s.source) for s in settings]
            write_table(stream, ("setting", "value", "source"), rows)


def _toml_lines(settings: Sequence[Setting]) -> Iterator[str]:
    for section, members in groupby(settings, key=lambda s: s.key.rpartition(".")[0]):
        if section:
            yield f"\n[{section}]"
        for setting in members:
            # JSON's texts, numbers and lists are TOML's as well.
            value = json.dumps(setting.value, ensure_ascii=False)
            yield f"{setting.key.rpartition('.')[2]} = {value}  # {setting.source}"


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


@config.command()
@click.pass_obj
def path(invocation: Invocation) -> None:
    """Where the settings file is looked for.

    \b
    Example:
      clfd config path
    """
    click.echo(invocation.home().settings_file)
