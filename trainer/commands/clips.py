"""`clfd clips`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Literal

import click

from storage.commands.context import Invocation, Seconds, filter_options, filters_of


@click.command()
@filter_options
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The folder to write to; it is made where it is missing.",
)
@click.option(
    "--pad",
    "pad_seconds",
    type=Seconds(0, 60),
    default=0.0,
    show_default=True,
    help="Seconds of sound around each clip.",
)
@click.option(
    "--format",
    "suffix",
    type=click.Choice(["flac", "wav"]),
    default="flac",
    show_default=True,
    help="Of the files; 16 bits, at the rate of the recording.",
)
@click.option("--top", type=click.IntRange(1), help="Only so many clips, the surest.")
@click.option("--per-label", type=click.IntRange(1), help="Of each label only so many.")
@click.option("--dry-run", is_flag=True, help="Only say what would be written.")
@click.pass_obj
def clips(
    invocation: Invocation,
    /,
    folder: Path,
    pad_seconds: float,
    suffix: Literal["flac", "wav"],
    top: int | None,
    per_label: int | None,
    dry_run: bool,
    **options: Any,
) -> None:
    """Cut clips out of their recordings, by label.

    Label and confidence are asked of each clip. A file is named by label, confidence, recording and
    offset; labels.csv beside them is one that `clfd train` takes. No file is ever replaced.

    \b
    Example:
      clfd clips --label siren --min-confidence 0.9 --per-label 50 -o sirens
    """
    from storage.database.engine import open_database
    from storage.queries.results import files_of
    from storage.values.text import counted
    from trainer.clips.clip_selection import select_cuts

    filters = filters_of(invocation, options)
    database = open_database(invocation.database(), "reader")
    with database, database.transaction() as connection:
        cuts = select_cuts(connection, filters, pad_seconds, top, per_label)
        files = files_of(connection, sorted({cut.recording_id for cut in cuts}))
    if not cuts:
        invocation.print_note("no clip fits; `clfd results --clips` shows which there are")
        return
    seconds = sum(cut.end_s - cut.start_s for cut in cuts)
    of = counted(len(files), "recording")
    what = f"{counted(len(cuts), 'clip')} of {of}, {seconds / 60:.1f} min"
    if dry_run:
        for label, number in Counter(cut.label for cut in cuts).most_common():
            click.echo(f"{number:8} {label}")
        invocation.print_note(f"{what}; nothing was written")
        return
    from classifier.workers.pool import DecodePool
    from storage.values.progress import progress_bar
    from trainer.clips.cut_clips import TABLE, cut_clips
    from trainer.errors import TrainerError

    engine = invocation.settings().engine
    with (
        DecodePool[int](engine.decode_workers, engine.decode_timeout_seconds) as pool,
        progress_bar(invocation.verbosity >= 0, len(cuts), "cutting") as advance,
    ):
        n_written, left_out = cut_clips(cuts, files, folder, suffix, pool, advance)
    for reason, number in left_out.most_common():
        invocation.print_note(f"left out {number} {reason}")
    if not n_written:
        raise TrainerError(f"none of {what} could be written")
    invocation.print_note(f"{counted(n_written, 'clip')} in {folder}")
    click.echo(str(folder / TABLE))
