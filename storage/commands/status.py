"""`clfd status`."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from storage.commands.context import Invocation


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One object, for programs.")
@click.pass_obj
def status(invocation: Invocation, as_json: bool) -> None:
    """Whether a daemon runs, and how much it has to do.

    Exit 3 when none runs.

    \b
    Example:
      clfd status --json
    """
    from storage.queries.daemon_status import status_lines, status_of
    from storage.values.text import visible

    found = status_of(invocation.home(), invocation.database(), datetime.now(UTC))
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
    else:
        for name, text in status_lines(found):
            click.echo(f"{name + ':':20}{visible(text)}")
    if not found["running"]:
        raise click.exceptions.Exit(3)
