"""`clfd status`."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime

import click

from storage.commands.context import Invocation, table_or_json


@click.command()
@click.option("--fleet", is_flag=True, help="All daemons of the ledger, on whatever machine.")
@table_or_json
@click.pass_obj
def status(invocation: Invocation, fleet: bool, file_format: str) -> None:
    """Whether a daemon runs, and how much it has to do.

    Exit 3 when none runs.

    \b
    Example:
      clfd status --fleet
    """
    if fleet:
        print_fleet(invocation, file_format)
        return
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


def print_fleet(invocation: Invocation, file_format: str) -> None:
    """Raises Exit 3 where no daemon of the ledger lives."""
    from storage.database.engine import open_database
    from storage.fleet.overview import member_lines, members
    from storage.values.text import visible

    url = invocation.database()
    with open_database(url, "reader") as database, database.transaction() as connection:
        found = members(connection)
    if file_format == "json":
        click.echo(json.dumps([asdict(one) for one in found], ensure_ascii=False))
    else:
        for line in member_lines(found):
            click.echo(visible(line))
    if not any(one.state == "live" for one in found):
        raise click.exceptions.Exit(3)
