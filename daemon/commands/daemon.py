"""The daemon's commands: init, run, reload, scan, classify, doctor, bench."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from storage.export.registry import TEXT_FORMATS

if TYPE_CHECKING:
    from storage.commands.context import Invocation


@click.command()
@click.pass_obj
def init(invocation: Invocation) -> None:
    """Make the home: folders, settings, starter checkpoint.

    The settings file shows every setting with its default, to be edited. The starter checkpoint
    goes where nothing is served yet. Safe to repeat: what is there stays as it is.

    \b
    Example:
      clfd init
    """
    from daemon.setup.init import initialise

    done = list(initialise(invocation.home(), invocation.settings()))  # also if nobody reads on
    click.echo("\n".join(done))


@click.command()
@click.option(
    "--once", is_flag=True, help="Empty the inbox, then exit; 0 when each file has a row."
)
@click.option("--device", help="auto, cpu, cuda, cuda:N or mps; instead of engine.device.")
@click.pass_obj
def run(invocation: Invocation, once: bool, device: str | None) -> None:
    """The daemon: classifies what comes into the inbox.

    It runs in the foreground. It stops on Ctrl-C or SIGTERM after finishing what is in flight;
    a second one hurries. SIGHUP has it read the settings again, like `clfd reload`; a terminal
    that closes stops it.

    \b
    Example:
      clfd run --once
    """
    from functools import partial

    from daemon.app import run_daemon
    from daemon.monitoring.logging_setup import start_logging

    read = partial(invocation.settings, **{"engine.device": device})
    settings, log = read(), partial(start_logging, verbosity=invocation.verbosity)
    log(settings.log)
    run_daemon(invocation.home(), settings, once, read, log)


@click.command()
@click.option(
    "--wait",
    "seconds",
    type=click.FloatRange(0),
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
    from storage.home.reload_client import ask_for_reload

    for line in ask_for_reload(invocation.home(), seconds):
        click.echo(line, err=True)


@click.command()
@click.option(
    "--format",
    "form",
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
def scan(invocation: Invocation, form: str, limit: int) -> None:
    """What a run would take, wait for and ignore.

    Nothing is done to them. Files that have their row are counted, not listed.

    \b
    Example:
      clfd scan
    """
    from daemon.intake.preview import preview, show_preview

    show_preview(preview(invocation.settings()), form, limit)


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--checkpoint", default="active", show_default=True, help="Name, prefix or file.")
@click.option("--device", help="auto, cpu, cuda, cuda:N or mps; instead of engine.device.")
@click.option(
    "--format",
    "form",
    type=click.Choice(TEXT_FORMATS),
    help="If not said: the file's suffix, or table.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A file.")
@click.pass_obj
def classify(
    invocation: Invocation,
    paths: tuple[Path, ...],
    checkpoint: str,
    device: str | None,
    form: str | None,
    output: Path | None,
) -> None:
    """Classify files or folders once, recording nothing.

    No daemon and no ledger are needed. Exit 1 when a file could not be classified.

    \b
    Example:
      clfd classify recording.wav
    """
    from daemon.pipeline.classify_files import classify_paths

    settings = invocation.settings(**{"engine.device": device})
    show_progress = invocation.verbosity >= 0
    home = invocation.home()
    if classify_paths(home, settings, paths, checkpoint, form, output, show_progress):
        raise click.exceptions.Exit(1)


@click.command()
@click.pass_obj
def doctor(invocation: Invocation) -> None:
    """Check this machine and this home.

    Says what to do about what is wrong. Exit 1 when something would keep the daemon from working.

    \b
    Example:
      clfd doctor
    """
    from daemon.setup.doctor import examine, show_findings

    if not show_findings(examine(invocation.home(), invocation.settings())):
        raise click.exceptions.Exit(1)


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
