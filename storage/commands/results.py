"""`clfd results`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from storage.commands.context import Invocation
from storage.commands.filter_options import Finite, filter_options, filters_of
from storage.export.registry import FOLLOWED_FORMATS, FORMATS, TEXT_FORMATS, Format, format_of

if TYPE_CHECKING:
    from storage.queries.filters import Filters


class Names(click.ParamType[tuple[str, ...]]):
    """Names with commas between them."""

    name = "names"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        return tuple(dict.fromkeys(filter(None, (name.strip() for name in value.split(",")))))


_STATUSES = click.Choice(["done", "failed", "pending", "superseded", "all"])
_FORMATS = click.Choice(list(FORMATS))
_AXES = click.Choice(["label", "status", "checkpoint", "day", "folder"])


@click.command()
@filter_options
@click.option("--status", type=_STATUSES, help="Which recordings; done if not said.")
@click.option("--history", is_flag=True, help="Every prediction, not only the current answer.")
@click.option("--clips", is_flag=True, help="A row for each clip of the recordings found.")
@click.option(
    "--top", type=click.IntRange(1), help="So many labels of each clip, the likeliest first."
)
@click.option(
    "--merge-gap",
    type=Finite(0),
    help="Join clips of one label with so many seconds or less between them.",
)
@click.option(
    "--sort",
    type=click.Choice(["newest", "oldest", "confidence", "path"]),
    default="newest",
    show_default=True,
)
@click.option(
    "--limit", type=click.IntRange(0), help="At most so many rows; 0 means all.  [tables: 50]"
)
@click.option(
    "--columns", type=Names(), default="", help="Only these, in this order: path,label,confidence."
)
@click.option("--count-by", type=_AXES, help="How many rows share it; days are UTC.")
@click.option("--follow", is_flag=True, help="Wait, and print new rows as they come.")
@click.option("--format", "shape", type=_FORMATS, help="If not said: the file's suffix, or table.")
@click.option(
    "-o",
    "--output",
    "file",
    type=click.Path(path_type=Path),
    help="A file; for raven and audacity also a folder, for a file of each recording.",
)
@click.pass_obj
def results(
    invocation: Invocation,
    /,
    status: str | None,
    history: bool,
    clips: bool,
    top: int | None,
    merge_gap: float | None,
    sort: str,
    limit: int | None,
    columns: tuple[str, ...],
    count_by: str | None,
    follow: bool,
    shape: str | None,
    file: Path | None,
    **options: Any,
) -> None:
    """What was heard.

    Shows recordings with their label and confidence, newest first; filters add up.

    \b
    Example:
      clfd results --label siren --since 2h
    """
    from storage.database.engine import open_database
    from storage.export import results_writer
    from storage.queries.result import ClipOptions

    status = status or ("all" if count_by == "status" else "done")
    filters = filters_of(invocation, options, status, history)  # type: ignore[arg-type]
    format = FORMATS[shape or format_of(file)]
    for refusal in _refusals(filters, format, clips, count_by, follow, limit, columns, file):
        raise click.UsageError(refusal)
    has_clips = clips or format.is_of_clips
    if (top or merge_gap is not None) and not has_clips:
        raise click.UsageError("--top and --merge-gap are about clips; add --clips")
    by_clip = ClipOptions(top or 1, merge_gap) if has_clips else None
    request = results_writer.ResultsRequest(filters, sort, limit, by_clip, format, file, columns)  # type: ignore[arg-type]
    _refuse_unknown(columns, request.known_columns, bool(count_by))
    with open_database(invocation.database(), "reader") as database:
        hint = None
        if follow:
            results_writer.follow(database, request)
        elif count_by:
            hint = results_writer.write_counts(database, request, count_by)  # type: ignore[arg-type]
        else:
            hint = results_writer.write_results(database, request)
    if hint:
        invocation.say(hint)


def _refuse_unknown(columns: Sequence[str], known: Sequence[str], counts: bool) -> None:
    if columns and counts:
        raise click.UsageError("--count-by has its own columns; leave out --columns")
    if strange := [name for name in columns if name not in known]:
        clips = " (start_s and end_s with --clips)" if {"start_s", "end_s"} & {*strange} else ""
        raise click.UsageError(
            f"no column is called {', '.join(strange)}; there are {', '.join(known)}{clips}"
        )


def _refusals(
    filters: Filters,
    format: Format,
    clips: bool,
    count_by: str | None,
    follow: bool,
    limit: int | None,
    columns: Sequence[str],
    file: Path | None,
) -> Iterator[str]:
    """What does not go together."""
    if count_by and clips:
        yield "--count-by counts recordings; leave out --clips"
    if count_by and not (format.is_text or format.is_of_clips):
        yield f"--count-by is told as {_any_of(TEXT_FORMATS)}"
    if follow and (count_by or clips or file or filters.history or not format.is_followed):
        yield (
            f"--follow prints recordings as they come, as {_any_of(FOLLOWED_FORMATS)};"
            " leave out --count-by, --clips, --history, -o and other formats"
        )
    sort = click.get_current_context().get_parameter_source("sort")
    is_bounded = limit is not None or filters.until or sort is ParameterSource.COMMANDLINE
    if follow and is_bounded:
        yield "--follow has no end and no order; leave out --limit, --until, --sort"
    if file is not None and file.is_dir() and not format.is_of_clips:
        yield f"{file} is a folder; name a file with -o"
    is_other_table = count_by or columns or limit or filters.history or filters.status != "done"
    if format.is_of_clips and is_other_table:
        yield (
            f"{format.name} has its own columns and holds the clips of done recordings;"
            " leave out --count-by, --columns, --limit, --history and --status"
        )


def _any_of(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
