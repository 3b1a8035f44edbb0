"""`clfd bulk ...`: an archive scored once, without inbox and ledger."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from storage.commands.context import Invocation, loading_modules, table_or_json

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
      clfd bulk list sounds -o archive-2026
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

    A ROOT is a folder, or s3://BUCKET/PREFIX.

    The work folder holds the list, the checkpoint and the settings that all answers are made by.
    Files are left out by the same rules as in an inbox.

    \b
    Example:
      clfd bulk list sounds -o archive-2026
    """
    with loading_modules():
        from daemon.bulk.manifest import list_files
    from storage.bulk.work_folder import WorkFolder

    home, settings = invocation.home(), invocation.settings()
    list_files(home, settings, roots, WorkFolder(work), checkpoint, invocation.print_note)


@bulk.command()
@work_argument
@click.option(
    "--shard", metavar="I/N", type=ShardOf(), help="The I-th of N equal parts; all if not said."
)
@click.option(
    "--ray",
    "address",
    metavar="ADDRESS",
    help="All nodes of a Ray cluster; auto: that of this machine, or this machine alone.",
)
@click.option("--device", help="auto, cpu, cuda, cuda:N or mps; instead of engine.device.")
@click.pass_obj
def score(
    invocation: Invocation,
    work: Path,
    shard: tuple[int, int] | None,
    address: str | None,
    device: str | None,
) -> None:
    """Score what has no row yet.

    It may be stopped or killed at any time: the same command goes on behind the last part that was
    written. Shards know nothing of each other, and run on any machine that has the same folders. A
    Ray cluster deals the files out by itself.

    \b
    Example:
      clfd bulk score work --shard 1/8
    """
    from storage.bulk.work_folder import WorkFolder

    folder, note, shows = WorkFolder(work), invocation.print_note, invocation.verbosity >= 0
    if address is not None:
        if shard is not None:
            raise click.UsageError("a cluster deals all files out by itself; leave out --shard")
        with loading_modules():
            from daemon.bulk.ray_cluster import score_on_cluster
        is_done = score_on_cluster(invocation.home(), folder, address, device, note, shows)
    else:
        with loading_modules():
            from daemon.bulk.score import Shard, score_shard
        home, settings = invocation.home(), invocation.settings(**{"engine.device": device})
        is_done = score_shard(home, settings, folder, Shard(*(shard or (1, 1))), note, shows)
    if not is_done:
        raise KeyboardInterrupt  # ends as Ctrl-C does


@bulk.command()
@work_argument
@table_or_json
def check(work: Path, file_format: str) -> None:
    """Has every file of the list its row? Exit 1 if not.

    \b
    Example:
      clfd bulk check work
    """
    from daemon.bulk.reconcile import check_work
    from storage.bulk.work_folder import WorkFolder

    check_work(WorkFolder(work), file_format, click.echo)


@bulk.command("import")
@work_argument
@click.pass_obj
def import_(invocation: Invocation, work: Path) -> None:
    """Take the rows into the ledger; what it knows stays.

    \b
    Example:
      clfd bulk import work
    """
    from daemon.bulk.import_rows import import_rows
    from storage.bulk.work_folder import WorkFolder

    import_rows(invocation.settings(), WorkFolder(work), invocation.print_note)
