"""`clfd bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from storage.commands.context import Invocation


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--seconds",
    type=click.FloatRange(1),
    default=50.0,
    show_default=True,
    help="About how long it may take; more tries more settings.",
)
@click.option(
    "--files",
    type=click.IntRange(1),
    default=240,
    show_default=True,
    help="Most files of PATHS, or of each format made here.",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A PNG of where the time goes.",
)
@click.option("--json", "as_json", is_flag=True, help="One object with every figure.")
@click.pass_obj
def bench(
    invocation: Invocation,
    paths: tuple[Path, ...],
    seconds: float,
    files: int,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Measure this machine: stages, daemon, settings.

    With your own files or folders, or with sounds that are made for it; with the active checkpoint,
    or the starter. The daemon is run on throw-away homes: your ledger and your inbox are not
    touched. Ends with the settings that were measured to be faster, if there are any.

    \b
    Example:
      clfd bench sounds --seconds 5
    """
    import json

    from daemon.benchmark.report import as_object, report_lines
    from daemon.benchmark.session import run_bench
    from storage.values.progress import status_line

    home, settings = invocation.home(), invocation.settings()
    with status_line(invocation.verbosity >= 0) as say:
        measured = run_bench(home, settings, paths, files, seconds, say)
    if plot:
        from daemon.benchmark.plot import write_plot
        from daemon.benchmark.report import model_line

        about = f"{measured.machine}; {model_line(measured.model)}"
        write_plot(plot, measured.formats, measured.cores, about)
    if as_json:
        click.echo(json.dumps(as_object(measured)))
    else:
        for line in report_lines(measured):
            click.echo(line)
