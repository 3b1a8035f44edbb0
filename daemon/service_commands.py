"""The daemon as a service: `clfd service ...`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from storage.invocation import Invocation


@click.group()
def service() -> None:
    """The daemon as a service.

    \b
    Example:
      clfd service pause
    """


@service.command()
@click.pass_obj
def pause(invocation: Invocation) -> None:
    """Hold the intake; the daemon goes on.

    What is in flight is finished, nothing further is looked for or taken, and checkpoints are still
    taken over. It holds over a restart, until `clfd service resume`.

    \b
    Example:
      clfd service pause
    """
    from storage.pausing import pause, paused_since
    from storage.presence import holder

    home = invocation.home()
    held = "held now" if pause(home) else f"held already, since {paused_since(home)}"
    rest = "" if holder(home) else "; no daemon runs, the next one will find it held"
    click.echo(f"the intake of {home.root} is {held}{rest}", err=True)


@service.command()
@click.pass_obj
def resume(invocation: Invocation) -> None:
    """Release the intake that was held.

    What came meanwhile is found and taken.

    \b
    Example:
      clfd service resume
    """
    from storage.pausing import resume

    home = invocation.home()
    said = "released" if resume(home) else "not held"
    click.echo(f"the intake of {home.root} is {said}", err=True)
