"""`clfd scan`."""

from __future__ import annotations

import click

from storage.commands.context import Invocation


@click.command()
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["table", "jsonl"]),
    default="table",
    show_default=True,
    help="jsonl: an object for each file.",
)
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=50,
    show_default=True,
    help="Names shown in a table; 0 is all.",
)
@click.pass_obj
def scan(invocation: Invocation, file_format: str, limit: int) -> None:
    """What a run would take, wait for and ignore.

    Nothing is done to them. Files that have their row are counted, not listed.

    \b
    Example:
      clfd scan
    """
    from daemon.intake.preview import preview, show_preview

    show_preview(preview(invocation.settings()), file_format, limit)
