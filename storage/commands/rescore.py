"""`clfd rescore`."""

from __future__ import annotations

from typing import Any

import click

from storage.commands.context import Invocation, filter_options, filters_of


@click.command()
@filter_options
@click.option("--stale", is_flag=True, help="Only answers of other checkpoints than the active.")
@click.option("--dry-run", is_flag=True, help="Say how many, and queue nothing.")
@click.pass_obj
def rescore(invocation: Invocation, /, stale: bool, dry_run: bool, **options: Any) -> None:
    """Queue answered recordings for the active checkpoint.

    The daemon scores them when nothing else waits. Their answers stay until there are new ones;
    `clfd results --history` shows both.

    \b
    Example:
      clfd rescore --stale --max-confidence 0.6
    """
    from storage.database.engine import open_database
    from storage.errors import StorageError
    from storage.home.checkpoint_folder import resolve_reference
    from storage.maintenance.rescore import count_rescorable, requeue_answered

    filters = filters_of(invocation, options)
    active = resolve_reference(invocation.home(), "active") if stale else None
    with open_database(invocation.database(), "editor") as database:
        count_or_queue = count_rescorable if dry_run else requeue_answered
        number = count_or_queue(database, filters, active)
    if not number and not stale:
        raise StorageError("no answered recording matches; `clfd results` lists them")
    click.echo(f"{'would queue' if dry_run else 'queued'} {number} again", err=True)
