"""`clfd results`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from storage.commands.context import (
    Count,
    Invocation,
    Seconds,
    filter_options,
    filters_of,
    format_option,
    json_option,
)
from storage.commands.option_headings import CommandWithHeadings

if TYPE_CHECKING:
    from storage.export.results_request import ResultsRequest
    from storage.export.results_source import ResultsSource


_STATUSES = click.Choice(["done", "failed", "pending", "superseded", "all"])
_AXES = click.Choice(["label", "site", "folder", "day", "hour", "status", "checkpoint"])
_SHOWN_AS = {"time": "classified_at"}  # columns that tables call otherwise


def named_file(ctx: click.Context, option: click.Parameter, name: str | None) -> Path | None:
    """A name that ends in a slash is that of a folder, which a path would forget."""
    if name is None:
        return None
    if name.endswith(os.sep) and Path(name).suffix and not os.path.isdir(name):
        raise click.BadParameter(f"there is no folder {name}; make it, or leave out its suffix")
    return Path(name)


@click.command(
    cls=CommandWithHeadings,
    headings={"--label": "Filters", "--from": "What to show", "--follow": "Output"},
)
@filter_options
@click.option("--status", type=_STATUSES, help="Which recordings; done if not said.")
@click.option("--history", is_flag=True, help="Every prediction, not only the current answer.")
@click.option(
    "--from",
    "work",
    metavar="WORK",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The work folder of `clfd bulk`, in place of the ledger.",
)
@click.option("--clips", is_flag=True, help="A row for each clip that fits: filters ask of clips.")
@click.option(
    "--top", type=click.IntRange(1), help="So many labels of each clip, the likeliest first."
)
@click.option(
    "--merge-gap",
    type=Seconds(0),
    help="Join clips of one label with so many seconds or less between them.",
)
@click.option(
    "--sort",
    type=click.Choice(["newest", "oldest", "confidence", "path"]),
    default="newest",
    show_default=True,
)
@click.option(
    "--limit",
    type=Count(0),
    help="At most so many rows; 0 means all.  [tables: 50]",
)
@click.option(
    "--columns",
    "column_names",
    metavar="NAMES",
    help="Only these, in this order: path,label,confidence.",
)
@click.option(
    "--embeddings",
    "has_embeddings",
    is_flag=True,
    help="Parquet: also the features of each clip, where `engine.embeddings` has them kept.",
)
@click.option(
    "--count-by",
    type=_AXES,
    help="How many rows share it: days are UTC; hours, with --clips, are those of the clock.",
)
@click.option("--follow", is_flag=True, help="Wait, and print new rows as they come.")
@format_option("format_name")
@json_option("format_name")
@click.option(
    "-o",
    "--output",
    "file",
    type=click.Path(),
    callback=named_file,
    help="A file. Raven and audacity: without a suffix a folder, with a file for each recording.",
)
@click.pass_obj
def results(
    invocation: Invocation,
    /,
    work: Path | None,
    status: str | None,
    history: bool,
    clips: bool,
    top: int | None,
    merge_gap: float | None,
    sort: str,
    limit: int | None,
    column_names: str | None,
    has_embeddings: bool,
    count_by: str | None,
    follow: bool,
    format_name: str | None,
    file: Path | None,
    **filter_values: Any,
) -> None:
    """List recordings and what they were classified as.

    Shows recordings with their label and confidence, newest first; filters add up.

    \b
    Example:
      clfd results --label siren --since 2h
    """
    from storage.export import results_writer
    from storage.export.results_request import ResultsRequest
    from storage.export.text_formats import FORMATS, format_of
    from storage.queries.clips import ClipOptions

    status = status or ("all" if count_by == "status" else "done")
    filters = filters_of(invocation, filter_values, status, history)  # type: ignore[arg-type]
    format = FORMATS[format_name or format_of(file)]
    names = filter(None, map(str.strip, (column_names or "").split(",")))
    columns = tuple(dict.fromkeys(_SHOWN_AS.get(name, name) for name in names))
    has_clips = clips or format.is_of_clips
    options = ClipOptions(top or 1, merge_gap) if has_clips else None
    request = ResultsRequest(
        *(filters, sort, limit, options, format, file, columns, has_embeddings),  # type: ignore[arg-type]
        shows_progress=invocation.verbosity >= 0,
    )
    _refuse_what_does_not_go_together(request, clips, count_by, follow)
    if (top or merge_gap is not None) and not has_clips:
        raise click.UsageError("--top and --merge-gap are about clips; add --clips")
    if column_names is not None and not columns:
        raise click.UsageError("--columns names none; leave it out to have all")
    _refuse_unknown(columns, request.known_columns, bool(count_by))
    if work is not None:
        _refuse_of_work_folder(request, follow)
    if follow:
        from storage.database.engine import open_database

        with open_database(invocation.database(), "reader") as database:
            results_writer.follow(database, request)
        return
    with _source(invocation, work) as source:
        if count_by:
            hint = results_writer.write_counts(source, request, count_by)  # type: ignore[arg-type]
        else:
            hint = results_writer.write_results(source, request)
    if hint:
        invocation.print_note(_with_ignored(hint, invocation))


@contextmanager
def _source(invocation: Invocation, work: Path | None) -> Iterator[ResultsSource]:
    if work is not None:
        from storage.bulk.work_folder import WorkFolder
        from storage.bulk.work_folder_source import WorkFolderSource

        with WorkFolderSource(WorkFolder(work)) as source:
            yield source
        return
    from storage.database.engine import open_database
    from storage.export.results_source import LedgerSource

    with (
        open_database(invocation.database(), "reader") as database,
        database.transaction() as connection,
    ):
        yield LedgerSource(connection)


def _with_ignored(hint: str, invocation: Invocation) -> str:
    """Of an empty ledger: files that lie in the inbox, and are left out for their suffix."""
    from storage.export.results_source import EMPTY
    from storage.home.inbox_rules import ignored_text
    from storage.queries.ignored_files import ignored_at_home

    if not hint.startswith(EMPTY):
        return hint
    ignored = ignored_text(ignored_at_home(invocation.home()))
    return f"{EMPTY}; {ignored} (clfd scan)" if ignored else hint


def _refuse_unknown(columns: Sequence[str], available: Sequence[str], counts: bool) -> None:
    if columns and counts:
        raise click.UsageError("--count-by has its own columns; leave out --columns")
    if strange := [name for name in columns if name not in available]:
        of_clips = {"start_s", "end_s", "clip_at"} & {*strange}
        clips = " (start_s, end_s and clip_at with --clips)" if of_clips else ""
        raise click.UsageError(
            f"no column is called {', '.join(strange)}; there are {', '.join(available)}{clips}"
        )


def _refuse_what_does_not_go_together(
    request: ResultsRequest, clips: bool, count_by: str | None, follow: bool
) -> None:
    from storage.export.text_formats import FOLLOWED_FORMATS, TEXT_FORMATS

    filters, format, file = request.filters, request.format, request.file
    if count_by == "hour" and not clips:
        raise click.UsageError("--count-by hour is of clips; add --clips")
    if count_by and not (format.is_text or format.is_of_clips):
        raise click.UsageError(f"--count-by is told as {_any_of(TEXT_FORMATS)}")
    if follow and (count_by or clips or file or filters.history or not format.is_followed):
        raise click.UsageError(
            f"--follow prints recordings as they come, as {_any_of(FOLLOWED_FORMATS)};"
            " leave out --count-by, --clips, --history, -o and other formats"
        )
    if follow:
        _refuse_of_following(request)
    if request.has_embeddings and (clips or count_by or format.name != "parquet"):
        raise click.UsageError(
            "--embeddings is a column of Parquet, a list for each clip of a recording; add"
            " --format parquet, and leave out --clips and --count-by"
        )
    if format.is_of_clips:
        _refuse_of_clips(request, count_by)
    elif file is not None and file.is_dir():
        raise click.UsageError(f"{file} is a folder; name a file with -o")


def _refuse_of_work_folder(request: ResultsRequest, follow: bool) -> None:
    filters = request.filters
    if filters.of_people or filters.unlabelled:
        raise click.UsageError(
            "what people say lies in the ledger; `clfd bulk import` takes the rows there, or leave"
            " out --wrong, --labelled, --unlabelled and --author"
        )
    if follow or filters.history or request.has_embeddings:
        raise click.UsageError(
            "a work folder has one answer for each file, and no embeddings; leave out --follow,"
            " --history and --embeddings"
        )


def _any_of(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _refuse_of_following(request: ResultsRequest) -> None:
    """Rows come without end, and in the order in which they come."""
    source = click.get_current_context().get_parameter_source("sort")
    is_bounded = request.limit is not None or request.filters.until
    if is_bounded or source is ParameterSource.COMMANDLINE:
        raise click.UsageError(
            "--follow has no end and no order; leave out --limit, --until, --sort"
        )


def _refuse_of_clips(request: ResultsRequest, count_by: str | None) -> None:
    is_other = request.filters.history or request.filters.status != "done"
    if count_by or request.chosen or request.limit or is_other:
        raise click.UsageError(
            f"{request.format.name} has its own columns and holds the clips of done recordings;"
            " leave out --count-by, --columns, --limit, --history and --status"
        )
