"""`clfd demo`."""

from __future__ import annotations

import click

from storage.commands.context import Invocation


@click.command()
@click.pass_obj
def demo(invocation: Invocation) -> None:
    """Show the whole loop on sounds made from numbers.

    It happens in a throw-away home; nothing of yours is touched.

    \b
    Example:
      clfd demo
    """
    from trainer.demo.demo import run_demo

    run_demo(quiet=invocation.verbosity < 0)
