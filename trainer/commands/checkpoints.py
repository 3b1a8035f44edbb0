"""`clfd checkpoints ...`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from storage.commands.context import ExistingPath, Invocation, Seconds, table_or_json

if TYPE_CHECKING:
    from storage.home.checkpoint_folder import CheckpointFolder

WAIT_SECONDS = 60.0


@click.group()
def checkpoints() -> None:
    """List, show, activate and move checkpoints.

    \b
    Example:
      clfd checkpoints list
    """


@checkpoints.command("list")
@table_or_json
@click.pass_obj
def list_checkpoints(invocation: Invocation, file_format: str) -> None:
    """All checkpoints, newest first.

    \b
    Example:
      clfd checkpoints list
    """
    from storage.export.text_formats import console_for, write_json
    from storage.home.checkpoint_folder import CheckpointFolder
    from trainer.checkpoints.list import print_table
    from trainer.checkpoints.summary import summaries

    folder = CheckpointFolder(invocation.home().checkpoints)
    names = folder.names()
    problems = dict.fromkeys(filter(None, map(folder.link_problem, ("active", "previous"))))
    for problem in problems:
        click.echo(problem, err=True)
    if file_format == "json":
        write_json(sys.stdout, summaries(folder))
        return
    if not names:
        if not problems:
            click.echo(f"no checkpoint in {folder.folder}; `clfd train` makes one", err=True)
        return
    for refusal in print_table(folder, console_for(sys.stdout)):
        click.echo(refusal, err=True)


@checkpoints.command()
@click.argument("name")
@table_or_json
@click.pass_obj
def show(invocation: Invocation, name: str, file_format: str) -> None:
    """What a checkpoint hears, and where it comes from.

    NAME is a checkpoint's name or the start of it or of its digest, `active` or `previous`.

    \b
    Example:
      clfd checkpoints show active
    """
    from classifier.model.checkpoint import read_checkpoint
    from storage.export.text_formats import console_for
    from storage.home.checkpoint_folder import CheckpointFolder
    from trainer.checkpoints.show import describe, print_description

    folder = CheckpointFolder(invocation.home().checkpoints)
    checkpoint = read_checkpoint(folder.path(folder.find(name)))
    if file_format == "json":
        click.echo(json.dumps(describe(folder, checkpoint), indent=2, ensure_ascii=False))
    else:
        print_description(folder, checkpoint, console_for(sys.stdout))


@checkpoints.command()
@click.argument("name")
@click.option(
    "--wait",
    "seconds",
    type=Seconds(0),
    is_flag=False,
    flag_value=WAIT_SECONDS,
    metavar="[SECONDS]",
    help=f"Return when the daemon serves it; after {WAIT_SECONDS:g} s at most if not said.",
)
@click.pass_obj
def activate(invocation: Invocation, name: str, seconds: float | None) -> None:
    """Make a checkpoint the one to be served.

    A running daemon takes it over without a restart. NAME is as for `clfd checkpoints show`.
    A file that is not sound is refused. With --wait: exit 1 when the daemon refuses it, with the
    reason, or when none runs; it stays active then.

    \b
    Example:
      clfd checkpoints activate 20260131T120000Z-1a2b3c4d
    """
    from classifier.model.checkpoint import read_checkpoint
    from storage.home.checkpoint_folder import CheckpointFolder
    from storage.home.daemon_client import wait_until_served

    home = invocation.home()
    folder = CheckpointFolder(home.checkpoints)
    chosen = folder.find(name)
    read_checkpoint(folder.path(chosen))
    make_active(invocation, folder, chosen)
    if seconds is not None:
        wait_until_served(home, chosen, seconds)
        click.echo(f"the daemon serves {chosen}", err=True)


def make_active(invocation: Invocation, folder: CheckpointFolder, name: str) -> None:
    from storage.home.trial_file import TrialFile
    from storage.ledger.checkpoints import refused_checkpoints

    TrialFile(invocation.home().trial_file).forget(name)  # who activates it wants it tried
    if name == folder.active():
        click.echo(f"{name} is active already", err=True)
        return
    folder.activate(name, refused_checkpoints(invocation.settings().database))
    click.echo(f"{name} is active now; `clfd checkpoints rollback` undoes it", err=True)


@checkpoints.command()
@click.pass_obj
def rollback(invocation: Invocation) -> None:
    """Make the previous checkpoint the active one.

    The active one becomes the previous one, so that a second rollback undoes the first; but for
    one that the daemon refused.

    \b
    Example:
      clfd checkpoints rollback
    """
    from classifier.model.checkpoint import read_checkpoint
    from storage.home.checkpoint_folder import CheckpointFolder
    from storage.home.trial_file import TrialFile
    from storage.ledger.checkpoints import refused_checkpoints

    home = invocation.home()
    folder = CheckpointFolder(home.checkpoints)
    chosen = folder.find("previous")
    read_checkpoint(folder.path(chosen))
    TrialFile(home.trial_file).forget(chosen)
    name = folder.rollback(refused_checkpoints(invocation.settings().database))
    click.echo(f"{name} is active now", err=True)


@checkpoints.command("import")
@click.argument("file", type=ExistingPath(dir_okay=False))
@click.option("--activate", "activates", is_flag=True, help="Also make it the one to be served.")
@click.pass_obj
def import_file(invocation: Invocation, file: Path, activates: bool) -> None:
    """Import a checkpoint file from elsewhere.

    FILE is checked as a whole before it is copied, and gets its right name. The name goes to
    stdout. A checkpoint that is there already is left as it is.

    \b
    Example:
      clfd checkpoints import 20260130T120000Z-5e6f7a8b.safetensors
    """
    from datetime import UTC, datetime

    from storage.home.checkpoint_folder import CheckpointFolder
    from trainer.checkpoints.import_checkpoint import import_checkpoint
    from trainer.promotion.publish import check_home

    home = invocation.home()
    check_home(home)
    folder = CheckpointFolder(home.checkpoints)
    imported = import_checkpoint(folder, file, datetime.now(UTC))
    before = "already " if imported.existed else ""
    click.echo(f"{file} is {before}in the checkpoints folder as {imported.name}", err=True)
    click.echo(imported.name)
    if activates:
        make_active(invocation, folder, imported.name)
    elif imported.name != folder.active():
        click.echo(f"to serve it: clfd checkpoints activate {imported.name}", err=True)


@checkpoints.command()
@click.argument("name")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The file to write.",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["safetensors", "onnx"]),
    help="A copy, or a model for ONNX Runtime and the like. If not said: the suffix of -o.",
)
@click.option("--force", is_flag=True, help="Replace a file that exists.")
@click.pass_obj
def export(
    invocation: Invocation, name: str, output: Path, file_format: str | None, force: bool
) -> None:
    """Write a checkpoint to a file, also as ONNX.

    As safetensors it is copied byte for byte, for `clfd checkpoints import` on another machine. As
    ONNX it goes from clips to scores, all inside; labels and audio format are in its metadata.

    \b
    Example:
      clfd checkpoints export active -o yard.safetensors
    """
    from storage.home.checkpoint_folder import CheckpointFolder
    from trainer.checkpoints.export import export_checkpoint

    folder = CheckpointFolder(invocation.home().checkpoints)
    chosen = folder.find(name)
    file_format = file_format or format_of(output)
    export_checkpoint(folder.path(chosen), output, file_format, overwrite=force)
    click.echo(f"{chosen} is in {output}, as {file_format}", err=True)


def format_of(file: Path) -> str:
    """Raises UsageError for the suffix of something else, such as a pickle."""
    suffix = file.suffix.lower()
    if suffix not in ("", ".safetensors", ".onnx"):
        raise click.UsageError(
            f"{file}: a checkpoint is written as .safetensors or .onnx, never as a pickle (.pt);"
            " choose one of these, or --format"
        )
    return suffix.removeprefix(".") or "safetensors"


@checkpoints.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.pass_obj
def remove(invocation: Invocation, names: tuple[str, ...]) -> None:
    """Take checkpoints and their reports away.

    Never the active nor the previous one. Answers stay, with the digest of what gave them. If one
    NAME of several means no checkpoint, or one that must stay, none is removed.

    \b
    Example:
      clfd checkpoints remove 20260129T120000Z-00000002
    """
    from storage.home.checkpoint_folder import CheckpointFolder
    from trainer.checkpoints.remove import remove as remove_all

    home = invocation.home()
    chosen = list(dict.fromkeys(map(CheckpointFolder(home.checkpoints).find, names)))
    remove_all(home, chosen)
    for name in chosen:
        click.echo(f"{name} is removed, with its reports", err=True)
