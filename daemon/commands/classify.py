"""`clfd classify`."""

from __future__ import annotations

from pathlib import Path

import click

from storage.commands.context import (
    ExistingPath,
    Invocation,
    format_option,
    json_option,
    loading_modules,
)


@click.command()
@click.argument("paths", nargs=-1, required=True, type=ExistingPath())
@click.option("--checkpoint", default="active", show_default=True, help="Name, prefix or file.")
@click.option("--device", help="auto, cpu, cuda, cuda:N or mps; instead of engine.device.")
@format_option("file_format", text_only=True)
@json_option("file_format")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="A file.")
@click.pass_obj
def classify(
    invocation: Invocation,
    paths: tuple[Path, ...],
    checkpoint: str,
    device: str | None,
    file_format: str | None,
    output: Path | None,
) -> None:
    """Classify files or folders once, recording nothing.

    No daemon and no ledger are needed. Exit 1 when a file could not be classified.

    \b
    Example:
      clfd classify recording.wav
    """
    with loading_modules():
        from daemon.pipeline.classify_files import classify_paths

    settings = invocation.settings(**{"engine.device": device})
    show_progress = invocation.verbosity >= 0
    home, note = invocation.home(), invocation.print_note
    if classify_paths(home, settings, paths, checkpoint, file_format, output, show_progress, note):
        raise click.exceptions.Exit(1)
