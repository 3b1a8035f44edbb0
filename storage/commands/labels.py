"""`clfd labels ...`: people correct answers."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from storage.commands.context import (
    Count,
    Invocation,
    Seconds,
    format_option,
    json_option,
    path_option,
    table_or_json,
)
from storage.commands.labels_verify import verify

if TYPE_CHECKING:
    from storage.labels.tables.annotation_files import Annotation, AnnotationFile

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
@click.option("--start", type=Seconds(0), help="Only from this second on: 20, 0:20 or 1:00:20.")
@click.option("--end", type=Seconds(0), help="Only up to this second.")
@click.option("--new", "is_new", is_flag=True, help="A new label, though it is near a known one.")
@click.option("--clear", is_flag=True, help="Forget what was said of it, or of this part of it.")
@click.option("--not", "is_not", is_flag=True, help="It is not LABEL; it is not suggested again.")
@click.option("--unsure", is_flag=True, help="Nobody can tell; it is not suggested again.")
@click.pass_obj
def set_label(
    invocation: Invocation,
    path: str,
    label: str | None,
    start: float | None,
    end: float | None,
    is_new: bool,
    clear: bool,
    is_not: bool,
    unsure: bool,
) -> None:
    """Say what a recording is.

    PATH is the path in the inbox, as `clfd results` shows it, or that of the file. The label
    belongs to the content: copies and renamed files have it too. Several labels are written as
    'dog;rain', and `none` says that none is right.

    \b
    Example:
      clfd labels set a.wav rain
    """
    from storage.database.engine import open_database
    from storage.labels.known_labels import answered_labels, known_labels
    from storage.labels.label_events import LabelEvent, Say, new_act, write_events
    from storage.labels.matching import clear_labels, require_recording, write_labels
    from storage.labels.tables.annotation_files import Annotation, rounded
    from storage.values.decision import is_negative, labels_in, written
    from storage.values.text import listed
    from storage.values.users import current_user

    label = _asked_label(label, clear, unsure, is_not)
    if end is not None and rounded(end) <= rounded(start or 0.0):
        raise click.UsageError(f"--end {end:g} is not after the start, {start or 0:g} s")
    name = "" if "/" in path else path
    start_s, end_s = rounded(start or 0.0), rounded(end or 0.0)
    one = Annotation(label, path, path, name, start_s=start_s, end_s=end_s)
    with open_database(invocation.database(), "editor") as database:
        with database.transaction() as connection:
            digest = require_recording(connection, one)
            given = answered_labels(connection)
            known = known_labels(connection, _active(invocation))
        if clear:
            part = None if start is None and end is None else (one.start_s, one.end_s)
            n = clear_labels(database, digest, current_user(), part)
            message = f"forgot {n} labels of {path}"
        elif unsure or is_not:
            say: Say = "unsure" if unsure else "not"
            event = LabelEvent(new_act(), digest, say, label or None, start_s, end_s)
            write_events(database, [event], current_user())
            message = f"{one.sound}: {_said(say, label)}"
        else:
            labels = [one if is_new else _confirmed(one, known) for one in labels_in(label)]
            label = written(labels)
            new, changed = write_labels(
                database, [(replace(one, label=label), digest, "set")], current_user()
            )
            message = f"{one.sound}: {label}" + " already" * (not new and not changed)
            if strange := [one for one in labels if one not in given and not is_negative(one)]:
                message += f"; no answer is {listed(strange)} so far, but {listed(given)}"
    invocation.print_note(message)


def _asked_label(label: str | None, clear: bool, unsure: bool, is_not: bool) -> str:
    """Empty where the options name none. Raises UsageError."""
    from storage.labels.label_names import read_labels

    if clear + unsure + is_not > 1:
        raise click.UsageError("--clear, --unsure and --not do not go together")
    if (clear or unsure) == bool(label and label.strip()):
        raise click.UsageError("say either a LABEL, --clear or --unsure")
    try:
        return "" if clear or unsure else read_labels(label or "")
    except ValueError as error:
        raise click.UsageError(f"LABEL: {error}") from error


def _active(invocation: Invocation) -> str | None:
    from storage.home.checkpoint_folder import CheckpointFolder

    return CheckpointFolder(invocation.home().checkpoints).active()


def _confirmed(label: str, known: Collection[str]) -> str:
    """The label, or the known one that a person at a terminal meant. Raises UnknownLabel."""
    from storage.errors import UnknownLabel
    from storage.labels.known_labels import near_label

    near = near_label(label, known)
    if near is None:
        return label
    if _is_terminal() and click.confirm(f"did you mean {near}?", default=True, err=True):
        return near
    raise UnknownLabel(
        f"no label is called {label} so far; did you mean {near}? add --new to make a new one"
    )


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


@labels.command()
@click.option("--n", "number", type=Count(1), default=1, help="So many acts, the newest first.")
@click.pass_obj
def undo(invocation: Invocation, number: int) -> None:
    """Take back what you said last.

    An act is what one command or one key said: a whole import is one. What somebody else said of
    the same sound since stays.

    \b
    Example:
      clfd labels undo
    """
    from storage.database.engine import open_database
    from storage.labels.label_events import last_act, undo_events
    from storage.values.text import counted
    from storage.values.users import current_user

    with open_database(invocation.database(), "editor") as database:
        for at in range(number):
            with database.transaction() as connection:
                act = last_act(connection, current_user())
            if not act:
                invocation.print_note(f"there is nothing {'more ' * bool(at)}to undo")
                return
            undone = undo_events(database, [one.id for one in act], current_user())
            message = f"took back what you said of {counted(len(undone.events), 'sound')}"
            if len(act) == 1:
                message += f": {_said(act[0].say, act[0].label)}"
            if undone.conflicts:
                message += f"; {len(undone.conflicts)} stay: somebody has said something since"
            invocation.print_note(message)


def _said(say: str, label: str | None) -> str:
    return {"label": f"{label}", "not": f"not {label}"}.get(say, say)


@labels.command("list")
@click.option("--label", "names", multiple=True, help="Only this label; may be repeated.")
@path_option
@click.option(
    "--origin", "origins", multiple=True, help="`set`, or a file that labels were imported from."
)
@click.option("--marks", is_flag=True, help="What is no label instead: `not LABEL` and `unsure`.")
@click.option(
    "--limit",
    type=Count(0),
    help="At most so many; 0 means all.  [tables: 50]",
)
@format_option("format_name", text_only=True)
@json_option("format_name")
@click.pass_obj
def list_labels(
    invocation: Invocation,
    names: tuple[str, ...],
    path: str | None,
    origins: tuple[str, ...],
    marks: bool,
    limit: int | None,
    format_name: str | None,
) -> None:
    """What people labelled, newest first.

    With start and end where a part is meant, and what was answered there.

    \b
    Example:
      clfd labels list --path 'yard/*'
    """
    from storage.database.engine import open_database
    from storage.export.label_list import (
        COLUMNS,
        TABLE_LIMIT,
        LabelFilters,
        count_labels,
        listed_labels,
        table_of,
    )
    from storage.export.text_formats import FORMATS, TABLE, output, write_records, write_table
    from storage.values.text import counted

    format = FORMATS[format_name or TABLE.name]
    filters = LabelFilters(names, path, origins, marks)
    limit = TABLE_LIMIT if limit is None and format is TABLE else limit or 0
    database = open_database(invocation.database(), "reader")
    with database, database.transaction() as connection, output(None) as stream:
        found = listed_labels(connection, filters, limit, invocation.display_rules())
        if format is not TABLE:
            write_records(stream, format, COLUMNS, found)
            return
        columns, rows = table_of(found)
        total = count_labels(connection, filters)
        if rows:
            kind = "mark" if marks else "label"
            write_table(stream, columns, rows, f"{len(rows)} of {counted(total, kind)}")
    if not rows and marks:
        invocation.print_note("no mark that fits; `clfd labels set --not` and `--unsure` give one")
    elif not rows:
        invocation.print_note("no label that fits; `clfd labels set` gives one")


@labels.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--skip-unmatched", is_flag=True, help="Leave out rows that are of no recording.")
@click.option("--only-changed", is_flag=True, help="Leave out rows that say what is known already.")
@click.pass_obj
def import_labels(
    invocation: Invocation, files: tuple[Path, ...], skip_unmatched: bool, only_changed: bool
) -> None:
    """Take labels from CSV, Raven, Audacity or Kaleidoscope.

    Rows are matched to recordings by `digest`, by path, or by name where that is of one only. All
    is imported or nothing; what was said of the same part before is replaced. With --only-changed a
    row counts that says something else than was said before, or than was answered.

    \b
    Example:
      clfd labels import corrections.csv --only-changed
    """
    from storage.database.engine import open_database
    from storage.errors import StorageError
    from storage.labels.answers import compare_with_answers
    from storage.labels.known_labels import known_labels, with_near
    from storage.labels.matching import match, write_labels
    from storage.labels.tables.annotation_files import read_annotations
    from storage.values.decision import is_negative, labels_in
    from storage.values.text import counted
    from storage.values.users import current_user

    read = {file: read_annotations(file) for file in files}
    with open_database(invocation.database(), "editor") as database:
        with database.transaction() as connection:
            matched = {file: match(connection, one.annotations) for file, one in read.items()}
            found = [(*pair, file.name) for file, one in matched.items() for pair in one.found]
            rules = invocation.display_rules()
            compared = compare_with_answers(connection, [one[:2] for one in found], rules)
            known = known_labels(connection, _active(invocation))
        problems = [line for one in matched.values() for line in one.problems]
        for line in problems[:_SHOWN]:
            click.echo(line, err=True)
        if problems and not skip_unmatched:
            raise StorageError(
                f"nothing imported: {counted(len(problems), 'row')} cannot be taken;"
                " mend them, or add --skip-unmatched"
            )
        pairs = zip(found, compared.is_new, strict=True)
        taken = [one for one, is_new in pairs if is_new or not only_changed]
        new, changed = write_labels(database, taken, current_user(), "imported")
    left = _left(read, problems, taken)
    if len(found) > len(taken):
        left += f", {len(found) - len(taken)} that say what is known left out"
    given = {label for one, *_ in taken for label in labels_in(one.label)}
    if strange := sorted(label for label in given - known if not is_negative(label)):
        invocation.print_note(f"no label so far: {with_near(strange, known)}")
    invocation.print_note(f"{new} new labels, {changed} changed{left}; {compared}")


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
        "without a label left out": sum(one.n_unlabelled for one in read.values()),
        "of a moment without length left out": n_points,
        "overruled by a later one of the same part": n_overruled,
    }
    return "".join(f", {number} {what}" for what, number in left.items() if number)


@labels.command()
@click.option("--n", "number", type=Count(1), default=50, show_default=True)
@table_or_json
@click.pass_obj
def suggest(invocation: Invocation, number: int, file_format: str) -> None:
    """Which recordings are most worth a person's ear.

    In turns those that the checkpoint is unsure of, over which checkpoints disagree, and whose
    label is rare; spread over folders and, where the ledger keeps embeddings (engine.embeddings),
    over what is unlike each other. None of which a person labelled the whole, or half of it.

    \b
    Example:
      clfd labels suggest --n 20
    """
    from storage.database.engine import open_database
    from storage.export.text_formats import output, write_json, write_table
    from storage.queries.active_learning import suggestions

    database = open_database(invocation.database(), "reader")
    with database, database.transaction() as connection:
        found = suggestions(connection, number, invocation.display_rules())
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
    rules = invocation.display_rules()

    def taken() -> Iterator[dict[str, object]]:
        for row, refusal in label_rows(connection, rules):
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


labels.add_command(verify)
