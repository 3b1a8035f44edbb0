"""Everything that can be typed after `clfd`, and the example that its help ends with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import cleandoc

import click

from clfd import cli


def every_command() -> Iterator[tuple[str, click.Command]]:
    """Name and command, groups and what is below them."""
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        yield name, command
        below = command.commands if isinstance(command, click.Group) else {}
        yield from ((f"{name} {verb}", below[verb]) for verb in below)


def example_of(command: click.Command) -> str | None:
    """The last line of its help, where it is an example as it should be."""
    found = re.search(r"\bExample:\n {2}(clfd .+)\Z", cleandoc(command.help or ""))
    return found[1] if found else None
