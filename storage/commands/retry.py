"""`clfd retry`."""

from __future__ import annotations

import os

import click

from storage.commands.context import Invocation


@click.command()
@click.option("--failed", is_flag=True, help="Every failed recording.")
@click.argument("paths", nargs=-1, type=click.Path())
@click.pass_obj
def retry(invocation: Invocation, failed: bool, paths: tuple[str, ...]) -> None:
    """Queue failed recordings again.

    Either all of them (--failed), or those that PATHS name: files, folders or globs, relative to
    the inbox or absolute. A daemon that runs takes them up; else the next one does.

    \b
    Example:
      clfd retry 'yard/*.flac'
    """
    from storage.errors import StorageError
    from storage.ledger.ledger import open_ledger

    if failed == bool(paths):
        raise click.UsageError("say what to retry: either --failed or one PATH or more")
    patterns = None if failed else [os.fsencode(path) for path in paths]
    with open_ledger(invocation.database(), "editor") as ledger:
        queued = ledger.requeue_failed(patterns)
    if not queued:
        raise StorageError("no failed recording matches; `clfd results --status failed` lists them")
    click.echo(f"queued {queued} again", err=True)
