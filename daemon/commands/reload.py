"""`clfd reload`."""

from __future__ import annotations

import click

from storage.commands.context import Invocation, Seconds


@click.command()
@click.option(
    "--wait",
    "seconds",
    type=Seconds(0),
    default=60.0,
    show_default=True,
    help="At most so many seconds for its answer.",
)
@click.pass_obj
def reload(invocation: Invocation, seconds: float) -> None:
    """Have a running daemon read its settings again.

    It also looks at once for another checkpoint that became active. Returns when it serves that
    with what could be changed. Exit 1 with the reason when the settings or the checkpoint are
    refused: what is refused stays as it was.

    \b
    Example:
      clfd reload
    """
    from storage.home.daemon_client import ask_for_reload

    for line in ask_for_reload(invocation.home(), seconds):
        click.echo(line, err=True)
