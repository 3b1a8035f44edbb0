"""`clfd compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from storage.filter_options import When

if TYPE_CHECKING:
    from storage.invocation import Invocation


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--since", type=When(), help="Recordings answered from then on: 3d, 2026-01-31.")
@click.option("--until", type=When(), help="Before then.")
@click.option("--path", help="A glob over the path in the inbox (absolute: with the inbox).")
@click.option("--list", "number", type=click.IntRange(0), default=0, help="So many of the surest.")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="FILE.png or .svg")
@click.option("--json", "as_json", is_flag=True, help="One object, for programs.")
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
    as_json: bool,
) -> None:
    """Where two checkpoints disagree.

    Of the recordings that both have scored; `clfd rescore` has old ones scored by a new checkpoint.
    A and B are names, digests or their start, `active` or `previous`.

    \b
    Example:
      clfd compare previous active --list 10
    """
    import os

    from storage.database import open_database
    from storage.disagreements import answering, disputes, pairs
    from storage.filters import Filters
    from storage.outcomes import printable_path
    from storage.rendering import output
    from storage.shelf import meant_by
    from trainer.disputing import Difference, require_shared, write_difference, write_picture

    glob = None if path is None else printable_path(os.fsencode(path))
    filters = Filters("all", since=since, until=until, path=glob)
    home, database = invocation.home(), open_database(invocation.database(), "reader")
    with database, database.transaction() as connection:
        one, other = (answering(connection, meant_by(home, word) or word) for word in (a, b))
        counted = pairs(connection, one, other, filters)
        require_shared(one, other, counted)
        listed = disputes(connection, one, other, filters, number) if number else ()
        found = Difference(one, other, tuple(counted), tuple(listed))
    if plot is not None:
        write_picture(plot, found)
    if as_json:
        click.echo(json.dumps(found.as_object(), ensure_ascii=False))
        return
    with output(None) as stream:
        write_difference(stream, found)
