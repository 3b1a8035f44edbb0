"""Labelled examples, from a table of labels or from a folder with one sub-folder per label.

Whatever is wrong without decoding is found here and reported together.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from classifier.model.classifier import Task
from storage.labels.tables.label_tables import (
    LabelRow,
    LabelTable,
    LabelTableError,
    open_label_table,
    sound_of,
)
from storage.values.decision import labels_in, says_nothing
from storage.values.text import text_digest, visible
from trainer.data.examples import Example, LabelSet
from trainer.data.folder_reader import list_folder
from trainer.data.overlaps import contradictions
from trainer.data.sound_files import SHOWN_MISSING, SoundFiles
from trainer.errors import LabelsError, NoTable, SoundsMissing

MIN_LABELS = 2
AUTO = "auto"


@dataclass(frozen=True)
class TaskChoice:
    """What a person asked for: auto, single or multi; and the names of nothing in a multi task."""

    asked: str = "single"
    negative_labels: tuple[str, ...] = ()


SINGLE = TaskChoice()


def read_labels(
    source: Path,
    suffixes: Collection[str],
    skip_bad: bool = False,
    min_labels: int = MIN_LABELS,
    task: TaskChoice = SINGLE,
) -> LabelSet:
    """Reads a table of labels, or a folder whose sub-folders are labels.

    `suffixes` (lower case, with dot) say which files of a folder are audio; a table names its files
    itself. Raises NoTable for audio in its place, SoundsMissing where none of its files is there,
    LabelsError listing every problem; with `skip_bad` rows with problems are left out instead, and
    named in `skipped`. `min_labels` different ones must be left, of which in a multi task one may
    be that there is none: training takes two, evaluation one.
    """
    read = _read_folder if source.is_dir() else _read_table
    found = read(source, suffixes, task)
    refuse_problems(source, found.skipped, skip_bad)
    check_labels(source, found.examples, found.skipped, min_labels)
    return found


def refuse_problems(source: Path, problems: Sequence[str], skip_bad: bool) -> None:
    """Raises LabelsError listing the problems, unless they may be skipped."""
    if problems and not skip_bad:
        raise LabelsError(source, problems, of_rows=True)


def check_labels(
    source: Path,
    examples: Sequence[Example],
    skipped: Sequence[str] = (),
    min_labels: int = MIN_LABELS,
) -> None:
    """Raises LabelsError where what is left without the rows that were `skipped` is too little."""
    labels = sorted({label for example in examples for label in example.strata})
    if len(labels) < min_labels:
        found = f"only the label {labels[0]!r}" if labels else "no usable example"
        problem = f"it has {found}, but a classifier needs {min_labels} labels"
        if source.is_dir():
            problem += ", each in a sub-folder of its own"
        rows = [f"left out: {row}" for row in skipped]
        raise LabelsError(source, [problem, *rows] if labels else [*skipped, problem])


def _read_folder(folder: Path, suffixes: Collection[str], asked: TaskChoice) -> LabelSet:
    try:
        listing = list_folder(folder, suffixes)
    except OSError as error:
        raise LabelsError(folder, [f"it cannot be read ({error.strerror})"]) from error
    examples = tuple(
        Example(path, label, group=path.relative_to(folder).as_posix())
        for path, label in listing.files
    )
    names = "".join(f"{example.group}\n" for example in examples)
    problems = listing.problems
    task, reason = choose_task(examples, asked.asked)
    if task == "multi":
        examples, mixed = as_multi(examples, asked.negative_labels)
        problems = [*problems, *mixed.values()]
    return LabelSet(folder, text_digest(names), examples, tuple(problems), task, reason)


def _read_table(source: Path, suffixes: Collection[str], asked: TaskChoice) -> LabelSet:
    if source.suffix.lower() in suffixes:
        raise NoTable(
            f"{source}: it is sound; name a table of labels, or a folder with one sub-folder"
            " per label"
        )
    files = SoundFiles(source.parent, suffixes)
    try:
        with open_label_table(source) as table:
            examples, problems, (task, reason) = _examples(table, files, asked)
    except LabelTableError as error:
        raise LabelsError(source, error.problems) from error
    if files.missing and "path" not in table.columns.positions:
        sound = visible(str(source.parent / sound_of(source)))
        reason = "a table without a column path is of the sound that it is named after"
        raise LabelsError(source, [f"no such file: {sound}; {reason}"])
    if not examples and len(files.missing) > SHOWN_MISSING:
        raise SoundsMissing(_missing_line(source, files))
    return LabelSet(source, table.digest, examples, problems, task, reason)


def _missing_line(source: Path, files: SoundFiles) -> str:
    names = ", ".join(map(visible, files.missing[:SHOWN_MISSING]))
    there = files.likely_folder()
    where = f"; they lie in {visible(str(there))}" if there else ""
    return (
        f"{source}: none of its {len(files.missing)} files is there, such as {names}{where}; paths"
        f" count from the folder of the table: move it {'there' if there else 'to its sounds'}, or"
        " write the paths from its folder on"
    )


def _examples(
    table: LabelTable, files: SoundFiles, asked: TaskChoice
) -> tuple[tuple[Example, ...], tuple[str, ...], tuple[Task, str]]:
    """Valid examples, a line for each problem in the order of the rows, and the task and why."""
    valid: list[Example] = []
    problems: list[tuple[int, str]] = []
    names = {ours: table.columns.name(ours) for ours in table.columns.positions}
    for row in table.rows:
        path, found = _file(row, names, files)
        found += [problem.line for problem in row.problems]
        if not row.label and all(problem.column != "label" for problem in row.problems):
            found.append(f"row {row.number}, column {names['label']}: it is empty")
        if found:
            problems += [(row.number, line) for line in found]
        else:
            valid.append(_example(row, path, names))
    task, reason = choose_task(valid, asked.asked)
    if task == "multi":
        joined, mixed = as_multi(valid, asked.negative_labels)
        valid, problems = [*joined], [*problems, *mixed.items()]
    contradictory = {
        at: problem.line
        for problem in contradictions(valid, [example.path for example in valid])
        for at in problem.positions
    }
    problems += [(valid[at].row or 0, line) for at, line in contradictory.items()]
    kept = tuple(example for at, example in enumerate(valid) if at not in contradictory)
    lines = tuple(line for _, line in sorted(problems, key=lambda problem: problem[0]))
    return kept, lines, (task, reason)


def _file(row: LabelRow, names: Mapping[str, str], files: SoundFiles) -> tuple[Path, list[str]]:
    """The file, and what is wrong with it."""
    if any(problem.column == "path" for problem in row.problems):
        return Path(), []
    try:
        return files.find(row), []
    except ValueError as error:
        column = f", column {names['path']}" if "path" in names else ""
        return Path(), [f"row {row.number}{column}: {error}"]


def _example(row: LabelRow, path: Path, names: Mapping[str, str]) -> Example:
    return Example(
        path=path,
        label=row.label,
        start_seconds=row.start_s,
        end_seconds=row.end_s,
        fold=row.fold,
        group=row.group or os.path.normpath(row.path or row.name),
        split=row.split,
        row=row.number,
        grouped=bool(row.group),
        columns=names,
    )


def choose_task(examples: Sequence[Example], asked: str) -> tuple[Task, str]:
    """The task, and why: as asked, else multi where one part of a file bears several labels."""
    if asked != AUTO:
        return ("multi" if asked == "multi" else "single"), "it was asked for"
    first_of: dict[Hashable, Example] = {}
    for example in examples:
        if len(labels_in(example.label)) > 1:
            return "multi", f"{example.name} has several labels ({example.label!r})"
        first = first_of.setdefault(_part(example), example)
        if first.label != example.label:
            both = f"{first.label!r} and {example.label!r}"
            return "multi", f"{first.name} and {example.name} give one part {both}"
    return "single", "no part of a file bears several labels"


def as_multi(
    examples: Sequence[Example], negative_labels: tuple[str, ...]
) -> tuple[tuple[Example, ...], dict[int, str]]:
    """An example for all rows of one part, in the order of the first; a line for a row at fault.

    Rows that differ in group, fold or split stay apart, for the checks of these to find.
    """
    of_part: dict[Hashable, list[Example]] = defaultdict(list)
    problems: dict[int, str] = {}
    for at, example in enumerate(examples):
        labels = tuple(dict.fromkeys(labels_in(example.label)))
        positive = tuple(label for label in labels if not says_nothing(label, negative_labels))
        if not labels or 0 < len(positive) < len(labels):
            reason = "is a label and none; keep one" if labels else "names no label"
            problems[example.row or at] = f"{example.spot('label')}: {example.label!r} {reason}"
            continue
        about = (example.fold, example.group, example.split)
        of_part[_part(example), about, bool(positive)].append(replace(example, label_set=positive))
    return tuple(map(_joined, of_part.values())), problems


def _part(example: Example) -> Hashable:
    return example.path, example.start_seconds, example.end_seconds


def _joined(rows: Sequence[Example]) -> Example:
    return rows[0].with_labels(label for row in rows for label in row.labels)
