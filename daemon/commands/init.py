"""`clfd init`."""

from __future__ import annotations

import click

from storage.commands.context import Invocation


@click.command()
@click.pass_obj
def init(invocation: Invocation) -> None:
    """Make the home: folders, settings, starter checkpoint.

    The settings file shows every setting with its default, to be edited. The starter checkpoint
    goes where nothing is served yet. Safe to repeat: what is there stays as it is.

    \b
    Example:
      clfd init
    """
    from daemon.setup.init import initialise

    done = list(initialise(invocation.home(), invocation.settings()))  # also if nobody reads on
    click.echo("\n".join(done))
