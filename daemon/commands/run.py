"""`clfd run`."""

from __future__ import annotations

import math

import click

from storage.commands.context import Invocation, Seconds, loading_modules


@click.command()
@click.option(
    "--once", is_flag=True, help="Empty the inbox, then exit; 0 when each file has a row."
)
@click.option(
    "--patience",
    "patience_seconds",
    type=Seconds(0),
    default=math.inf,
    help="With --once: how long to wait for a file that is still changing. [default: no end]",
)
@click.option(
    "--test-hook", is_flag=True, help="Send an example to each hook, and end; 0 when they took it."
)
@click.option("--device", help="auto, cpu, cuda, cuda:N or mps; instead of engine.device.")
@click.pass_obj
def run(
    invocation: Invocation,
    once: bool,
    patience_seconds: float,
    test_hook: bool,
    device: str | None,
) -> None:
    """The daemon: classifies what comes into the inbox.

    It runs in the foreground. It stops on Ctrl-C or SIGTERM after finishing what is in flight;
    a second one hurries. SIGHUP has it read the settings again, like `clfd reload`; a terminal
    that closes stops it.

    \b
    Example:
      clfd run --once
    """
    from functools import partial

    if patience_seconds != math.inf and not once:
        raise click.UsageError("--patience is about --once; add it, or leave out --patience")
    if test_hook:
        from daemon.hooks.example import send_examples

        if once:
            raise click.UsageError("--test-hook runs no daemon; leave out --once")
        for line in send_examples(invocation.home(), invocation.settings()):
            click.echo(line, err=True)
        return
    from daemon.monitoring.logging_setup import start_logging

    home, read = invocation.home(), partial(invocation.settings, **{"engine.device": device})
    settings, log = read(), partial(start_logging, verbosity=invocation.verbosity)
    home.require_made()
    log(settings.log)
    with loading_modules():
        from daemon.pipeline.scoring_setup import begun_scoring

    with begun_scoring(settings.engine, home.compiled) as (scoring, wake):
        with loading_modules():
            from daemon.app import run_daemon

        run_daemon(home, settings, scoring, wake, once, read, log, patience_seconds)
