"""`clfd labels ...`: people correct answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from storage.commands.context import Finite, Invocation, table_or_json

if TYPE_CHECKING:
    from storage.labels.annotation_files import Annotation, AnnotationFile

_SHOWN = 5  # of many problems


@click.group()
def labels() -> None:
    """What people say that recordings are.

    \b
    Example:
      clfd labels suggest --n 20
    """


@labels.command("set")
@click.argument("path")
@click.argument("label", required=False)
@click.option("--start", type=Finite(0), help="Only from this second on.")
@click.option("--end", type=Finite(0), help="Only up to this second.")
@click.option("--clear", is_flag=True, help="Forget what was said of it, or of this part of it.")
@click.pass_obj
def set_label(
    invocation: Invocation,
    path: str,
    label: str | None,
    start: float | None,
    end: float | None,
    clear: bool,
) -> None:
    """Say what a recording is.

    PATH is the path in the inbox, as `clfd results` shows it, or that of the file. The label
    belongs to the content: copies and renamed files have it too.

    \b
    Example:
      clfd labels set a.wav rain
    """
    from storage.database.engine import open_database
    from storage.labels.annotation_files import Annotation, rounded
    from storage.labels.label_names import read_label
    from storage.labels.matching import clear_labels, require_recording, write_labels
    from storage.queries.counts import labels_seen
    from storage.values.text import listed

    if clear == bool(label and label.strip()):
        raise click.UsageError("say either a LABEL or --clear")
    try:
        label = "" if clear else read_label(label or "")
    except ValueError as error:
        raise click.UsageError(f"LABEL: {error}") from error
    if end is not None and rounded(end) <= rounded(start or 0.0):
        raise click.UsageError(f"--end {end:g} is not after the start, {start or 0:g} s")
    name = "" if "/" in path else path
    start_s, end_s = rounded(start or 0.0), rounded(end or 0.0)
    one = Annotation(label, path, path, name, start_s=start_s, end_s=end_s)
    with open_database(invocation.database(), "editor") as database:
        with database.transaction() as connection:
            digest = require_recording(connection, one)
            seen = labels_seen(connection)
        if clear:
            part = None if start is None and end is None else (one.start_s, one.end_s)
            message = f"forgot {clear_labels(database, digest, part)} labels of {path}"
        else:
            new, changed = write_labels(database, [(one, digest, "set")])
            message = f"{path} is {label}" if new or changed else f"{path} was {label} already"
            if label not in seen:
                message += f"; no answer is {label} so far, but {listed(seen)}"
    invocation.print_note(message)


@labels.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--skip-unmatched", is_flag=True, help="Leave out rows that are of no recording.")
@click.pass_obj
def import_labels(invocation: Invocation, files: tuple[Path, ...], skip_unmatched: bool) -> None:
    """Take labels from CSV, Raven, Audacity or Kaleidoscope.

    Rows are matched to recordings by `digest`, by path, or by name where that is of one only. All
    is imported or nothing; what was said of the same part before is replaced.

    \b
    Example:
      clfd labels import corrections.csv --skip-unmatched
    """
    from storage.database.engine import open_database
    from storage.errors import StorageError
    from storage.labels.annotation_files import read_annotations
    from storage.labels.matching import match, write_labels

    read = {file: read_annotations(file) for file in files}
    with open_database(invocation.database(), "editor") as database:
        with database.transaction() as connection:
            matched = {file: match(connection, one.annotations) for file, one in read.items()}
        problems = [line for one in matched.values() for line in one.problems]
        for line in problems[:_SHOWN]:
            click.echo(line, err=True)
        if problems and not skip_unmatched:
            raise StorageError(
                f"nothing imported: {len(problems)} rows are not of one recording;"
                " mend them, or add --skip-unmatched"
            )
        found = [(*pair, file.name) for file, one in matched.items() for pair in one.found]
        new, changed = write_labels(database, found)
    invocation.print_note(f"{new} new labels, {changed} changed{_left(read, problems, found)}")


def _left(
    read: dict[Path, AnnotationFile],
    problems: Sequence[str],
    found: Sequence[tuple[Annotation, str, str]],
) -> str:
    """What of the files is no label now."""
    n_points = sum(one.n_points for one in read.values())
    parts = {(digest, one.start_s, one.end_s, one.label) for one, digest, _ in found}
    n_overruled = len(parts) - len({part[:3] for part in parts})
    left = {
        "left out": len(problems),
        "of a moment without length left out": n_points,
        "overruled by a later one of the same part": n_overruled,
    }
    return "".join(f", {number} {what}" for what, number in left.items() if number)


@labels.command()
@click.option("--n", "number", type=click.IntRange(1, 2**63 - 1), default=50, show_default=True)
@table_or_json
@click.pass_obj
def suggest(invocation: Invocation, number: int, file_format: str) -> None:
    """Which recordings are most worth a person's ear.

    In turns those that the checkpoint is unsure of, over which checkpoints disagree, and whose
    label is rare; spread over folders, and none that has a human label.

    \b
    Example:
      clfd labels suggest --n 20
    """
    from storage.database.engine import open_database
    from storage.export.text_formats import output, write_json, write_table
    from storage.queries.active_learning import suggestions

    database = open_database(invocation.database(), "reader")
    with database, database.transaction() as connection:
        found = suggestions(connection, number)
    columns = ("path", "label", "confidence", "reason")
    with output(None) as stream:
        if file_format == "json":
            names = (*columns, "inbox", "digest")
            write_json(stream, ({name: getattr(one, name) for name in names} for one in found))
        elif found:
            rows = [(one.path, one.label, f"{one.confidence:.3f}", one.reason) for one in found]
            write_table(stream, columns, rows)
    if not found:
        invocation.print_note("nothing to suggest: no answered recording is without a human label")


@labels.command()
@click.option("-o", "--output", "file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--all", "is_all", is_flag=True, help="Also those that training would refuse.")
@click.pass_obj
def export(invocation: Invocation, file: Path | None, is_all: bool) -> None:
    """Write the labels as a CSV that `clfd train` takes.

    With where each came from, and what was predicted. Left out and told are labels of files that
    are gone or not done, and of a whole of which a part has another label.

    \b
    Example:
      clfd labels export -o mine.csv
    """
    from collections import Counter

    from storage.database.engine import open_database
    from storage.export.text_formats import output, write_csv
    from storage.labels.matching import has_groups
    from storage.labels.training_table import EXPORT_COLUMNS, label_rows

    numbers: Counter[str] = Counter()  # by refusal

    def taken() -> Iterator[dict[str, object]]:
        for row, refusal in label_rows(connection):
            numbers["" if is_all else refusal] += 1
            if is_all or not refusal:
                yield {name: row[name] for name in columns}

    database = open_database(invocation.database(), "reader")
    with database, database.transaction() as connection, output(file) as stream:
        is_filled = {"group": has_groups(connection)}
        columns = [name for name in EXPORT_COLUMNS if is_filled.get(name, True)]
        write_csv(stream, columns, taken())
    invocation.print_note(f"{numbers.pop('', 0)} labels" + (f" in {file}" if file else ""))
    for refusal, number in numbers.items():
        invocation.print_note(f"left out {number} {refusal} (--all has them too)")
