"""`clfd bench`."""

from __future__ import annotations

from pathlib import Path

import click

from storage.commands.context import ExistingPath, Invocation, Seconds, table_or_json
from storage.commands.deprecated_options import retired_plot_option


@click.command()
@retired_plot_option
@click.argument("paths", nargs=-1, type=ExistingPath())
@click.option(
    "--seconds",
    type=Seconds(1),
    default=50.0,
    show_default=True,
    help="About how long it may take; more measures more files.",
)
@click.option(
    "--files",
    type=click.IntRange(1),
    default=240,
    show_default=True,
    help="Most files of PATHS, or made here.",
)
@table_or_json
@click.pass_obj
def bench(
    invocation: Invocation,
    paths: tuple[Path, ...],
    seconds: float,
    files: int,
    file_format: str,
) -> None:
    """Measure this machine: stages and daemon.

    With your own files or folders, or with sounds that are made for it; with the active checkpoint,
    or the starter. The daemon is run on a throw-away home: your ledger and your inbox are not
    touched.

    \b
    Example:
      clfd bench sounds --seconds 1
    """
    import json

    from daemon.benchmark.measure import run_bench
    from daemon.benchmark.report import as_object, report_lines
    from storage.values.progress import status_line

    home, settings = invocation.home(), invocation.settings()
    with status_line(invocation.verbosity >= 0) as print_line:
        measured = run_bench(home, settings, paths, files, seconds, print_line)
    if file_format == "json":
        click.echo(json.dumps(as_object(measured)))
    else:
        for line in report_lines(measured):
            click.echo(line)
