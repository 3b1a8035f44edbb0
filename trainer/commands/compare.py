"""`clfd compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from storage.commands.context import Invocation, When, json_option, path_option

if TYPE_CHECKING:
    from storage.home.paths import Home


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--since", type=When(), help="Recordings answered from then on: 3d, 2026-01-31.")
@click.option("--until", type=When(), help="Before then.")
@path_option
@click.option(
    "--list",
    "number",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    help="Also so many recordings on which they disagree, those first of which both are surest.",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw the answers of A by those of B: FILE.png or FILE.svg.",
)
@click.option(
    "--training",
    is_flag=True,
    help="Not their answers, but their trainings: data, recipe, epochs and figures, side by side.",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="CSV has a row for each pair of answers; with --list, for each recording listed.",
)
@json_option("file_format")
@click.pass_obj
def compare(
    invocation: Invocation,
    a: str,
    b: str,
    since: str | None,
    until: str | None,
    path: str | None,
    number: int,
    plot: Path | None,
    training: bool,
    file_format: str,
) -> None:
    """Where two checkpoints disagree.

    Of the recordings that both have scored; `clfd rescore` has old ones scored by a new checkpoint.
    A and B are names, digests or their start, `active` or `previous`. With --training they need
    not have scored anything, and may be files.

    \b
    Example:
      clfd compare previous active --list 10
    """
    from storage.database.engine import open_database
    from storage.errors import StorageError
    from storage.export.text_formats import output
    from storage.home.checkpoint_folder import resolve_reference
    from storage.queries.disagreements import answering, disputes, pairs
    from storage.queries.filters import Filters
    from trainer.reports.compare_report import Difference, require_shared, write_difference

    if training:
        if since or until or path or number or plot:
            raise click.UsageError("--training is about no answers; leave out what selects them")
        _set_side_by_side(invocation.home(), a, b, file_format)
        return
    if plot is not None:
        from trainer.reports.figures import picture_format_of, write_picture

        picture_format_of(plot)  # what is no picture is refused before anything is counted
    rules = invocation.display_rules()
    filters = Filters("all", since=since, until=until, path=path, rules=rules)
    home, database = invocation.home(), open_database(invocation.database(), "reader")
    with database, database.transaction() as connection:
        one, other = (
            answering(connection, resolve_reference(home, word) or word) for word in (a, b)
        )
        if one == other:
            raise StorageError(f"both are {one.name}; name two checkpoints")
        counted = pairs(connection, one, other, filters)
        require_shared(one, other, counted, filters)
        listed = tuple(disputes(connection, one, other, filters, number)) if number else None
        found = Difference(one, other, tuple(counted), listed)
    if plot is not None:
        write_picture(plot, found)
    with output(None) as stream:
        write_difference(stream, found, file_format)


def _set_side_by_side(home: Home, a: str, b: str, file_format: str) -> None:
    from classifier.model.checkpoint import read_checkpoint
    from storage.export.text_formats import output
    from storage.home.checkpoint_folder import CheckpointFolder
    from trainer.checkpoints.summary import SideBySide, write_side_by_side

    folder = CheckpointFolder(home.checkpoints)
    found = SideBySide(*(read_checkpoint(folder.locate(word)) for word in (a, b)))
    with output(None) as stream:
        write_side_by_side(stream, found, file_format)
