"""`clfd doctor`."""

from __future__ import annotations

import click

from storage.commands.context import Invocation


@click.command()
@click.pass_obj
def doctor(invocation: Invocation) -> None:
    """Check this machine and this home.

    Says what to do about what is wrong. Exit 1 when something would keep the daemon from working.

    \b
    Example:
      clfd doctor
    """
    from daemon.setup.doctor import examine, show_findings

    if not show_findings(examine(invocation.home(), invocation.settings())):
        raise click.exceptions.Exit(1)
