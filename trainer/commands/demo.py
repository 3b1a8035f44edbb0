"""`clfd demo`."""

from __future__ import annotations

import click

from storage.commands.context import Invocation


@click.command()
@click.option("--keep", is_flag=True, help="Leave the home there, to be opened with `clfd web`.")
@click.pass_obj
def demo(invocation: Invocation, keep: bool) -> None:
    """Show the whole loop on sounds made from numbers.

    It happens in a throw-away home; nothing of yours is touched.

    \b
    Example:
      clfd demo
    """
    from trainer.demo.demo import run_demo

    run_demo(quiet=invocation.verbosity < 0, keep=keep)
