"""`clfd status`."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from storage.commands.context import Invocation, table_or_json


@click.command()
@table_or_json
@click.pass_obj
def status(invocation: Invocation, file_format: str) -> None:
    """Whether a daemon runs, and how much it has to do.

    Exit 3 when none runs.

    \b
    Example:
      clfd status --json
    """
    from storage.queries.daemon_status import status_lines, status_of
    from storage.values.text import visible

    found = status_of(invocation.home(), invocation.database(), datetime.now(UTC))
    if file_format == "json":
        click.echo(json.dumps(found, ensure_ascii=False))
    else:
        for name, text in status_lines(found):
            click.echo(f"{name + ':':20}{visible(text)}")
    if not found["running"]:
        raise click.exceptions.Exit(3)
