"""`clfd rescore`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from storage.commands.context import Invocation, filter_options, filters_of

if TYPE_CHECKING:
    from storage.maintenance.rescore import RescoreCount


@click.command()
@filter_options
@click.option("--stale", is_flag=True, help="Only answers of other checkpoints than the active.")
@click.option("--dry-run", is_flag=True, help="Say how many, and queue nothing.")
@click.pass_obj
def rescore(invocation: Invocation, /, stale: bool, dry_run: bool, **options: Any) -> None:
    """Queue answered recordings for the active checkpoint.

    But for those that it has answered under the same settings. The daemon scores them when nothing
    else waits. Their answers stay until there are new ones; `clfd results --history` shows the
    newest one of each checkpoint.

    \b
    Example:
      clfd rescore --stale --max-confidence 0.6
    """
    from storage.database.engine import open_database
    from storage.errors import StorageError
    from storage.home.checkpoint_folder import CheckpointFolder, resolve_reference
    from storage.home.daemon_lock import holder
    from storage.maintenance.rescore import Settled, count_rescorable, requeue_answered

    filters, home = filters_of(invocation, options), invocation.home()
    under, settled = (resolve_reference(home, "active") if stale else None), None
    if not stale and (active := CheckpointFolder(home.checkpoints).active()):
        settled = Settled(active, invocation.settings().engine.scoring)
    with open_database(invocation.database(), "editor") as database:
        found = count_rescorable(database, filters, under, settled)
        number = found.queueable
        if not dry_run:
            number = requeue_answered(database, filters, under, settled)
    if not (number or found.settled or found.queued or stale):
        raise StorageError("no answered recording matches; `clfd results` lists them")
    click.echo(_summary(number, found, dry_run), err=True)
    if found.resettled and not dry_run and holder(home):
        invocation.print_note("a daemon runs: after a change of settings, `clfd reload` first")


def _summary(number: int, found: RescoreCount, dry_run: bool) -> str:
    others = []
    if found.settled:
        others.append(f"{found.settled} answered by the active checkpoint under the same settings")
    if found.queued:
        others.append(f"{found.queued} in the queue already")
    if others and not number:
        return f"nothing to do: {', '.join(others)}"
    done = f"{'would queue' if dry_run else 'queued'} {number} again"
    return f"{done}; left out: {', '.join(others)}" if others else done
