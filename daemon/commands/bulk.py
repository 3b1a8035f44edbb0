"""`clfd bulk ...`: an archive scored once, without inbox and ledger."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from storage.commands.context import Invocation, loading_modules

work_argument = click.argument(
    "work", type=click.Path(path_type=Path, file_okay=False, exists=True)
)


class ShardOf(click.ParamType[tuple[int, int]]):
    """`I/N`, from 1/N to N/N."""

    name = "I/N"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", value, re.ASCII)
        number, of = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= number <= of:
            self.fail(f"{value!r} is no shard; write 1/8 for the first of eight", param, ctx)
        return number, of


@click.group()
def bulk() -> None:
    """Score millions of files once, on many machines.

    \b
    Example:
      clfd bulk list /mnt/archive -o work
    """


@bulk.command("list")
@click.argument("roots", nargs=-1, required=True, metavar="ROOT...")
@click.option(
    "-o",
    "--output",
    "work",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The work folder to make, where all that score can read and write.",
)
@click.option("--checkpoint", default="active", show_default=True, help="Name, prefix or file.")
@click.pass_obj
def list_(invocation: Invocation, roots: tuple[str, ...], work: Path, checkpoint: str) -> None:
    """Write down which files there are.

    The work folder holds the list, the checkpoint and the settings that all answers are made by.
    Files are left out by the same rules as in an inbox.

    \b
    Example:
      clfd bulk list /mnt/archive -o work
    """
    with loading_modules():
        from daemon.bulk.manifest import list_files
    from storage.bulk.work_folder import WorkFolder

    home, settings = invocation.home(), invocation.settings()
    list_files(home, settings, roots, WorkFolder(work), checkpoint, invocation.print_note)
