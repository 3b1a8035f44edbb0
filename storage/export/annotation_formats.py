"""Tables of clips that other programs read: Raven, Audacity, Kaleidoscope.

Raven Pro: a selection table is text with tabs, and one for several sounds counts `Begin Time (s)`
from the beginning of the first, through all of them in their order, and `File Offset (s)` from the
beginning of its own (Raven Pro User's Manual, "Working with multiple sound files").
Audacity: a label track has start, end and label between tabs (manual.audacityteam.org, "Importing
and Exporting Labels"). Kaleidoscope: a row for each detection, by the columns of its `cluster.csv`.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TextIO

from storage.errors import StorageError, UnknownFormat, os_errors_as
from storage.export.text_formats import Format, csv_row_writer, output
from storage.labels.tables.annotation_files import rounded
from storage.queries.result import Result
from storage.values.text import visible

Clips = tuple[Result, list[Result]]  # a recording, and its clips by start

RAVEN_COLUMNS = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Begin File",
    "File Offset (s)",
    "Begin Path",
    "Label",
    "Confidence",
    "Predicted",
)
KALEIDOSCOPE_COLUMNS = (
    "INDIR",
    "FOLDER",
    "IN FILE",
    "CHANNEL",
    "OFFSET",
    "DURATION",
    "AUTO ID",
    "CONFIDENCE",
    "MANUAL ID",
)


def write_annotations(format: Format, place: Path | None, recordings: Iterable[Clips]) -> int:
    """Write one file, or into a folder one for each recording; returns how many rows.

    A name without a suffix is a folder, which is made, where the format can be of one recording.
    Of a recording without a row there is a file without rows, and in a table of several its length
    counts. Raises UnknownFormat for what the format cannot hold, StorageError where a file cannot
    be written.
    """
    if place is not None and is_folder(place, format):
        if format.suffix_beside is None:
            raise UnknownFormat(
                f"{format.name.capitalize()} reads one table of all recordings; name a file with -o"
            )
        with os_errors_as(StorageError, f"cannot make the folder {place}"):
            place.mkdir(parents=True, exist_ok=True)
        names: dict[str, str] = {}
        n_rows = 0
        for one in recordings:
            folder = place / _own_name(one[0].inbox, names)
            file = folder / f"{visible(one[0].path)}{format.suffix_beside}"
            with os_errors_as(StorageError, f"cannot make the folder {file.parent}"):
                file.parent.mkdir(parents=True, exist_ok=True)
            with output(file) as stream:
                n_rows += format.write(stream, [one])
        return n_rows
    with output(place) as stream:
        return int(format.write(stream, recordings))


def is_folder(place: Path, format: Format) -> bool:
    is_new_folder = format.suffix_beside and not place.suffix and not place.exists()
    return place.is_dir() or bool(is_new_folder)


def write_raven(stream: TextIO, recordings: Iterable[Clips]) -> int:
    writer = csv.writer(
        stream, "excel-tab", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None
    )
    writer.writerow(RAVEN_COLUMNS)
    number, before_s = 0, 0.0
    for recording, clips in recordings:
        highest_hz = (recording.sample_rate_hz or 0) / 2
        for clip in clips:
            number += 1
            start_s, end_s = rounded(clip.start_s or 0.0), rounded(clip.end_s or 0.0)
            span = (f"{before_s + start_s:.6f}", f"{before_s + end_s:.6f}")
            file = (
                visible(Path(_path(recording)).name),
                f"{start_s:.6f}",
                visible(_path(recording)),
            )
            predicted = visible(clip.label or "")
            cells = (_label(clip), f"{clip.confidence or 0:.6f}", predicted)
            writer.writerow(
                (number, "Spectrogram 1", 1, *span, "0.0", f"{highest_hz:.1f}", *file, *cells)
            )
        before_s += rounded(recording.duration_s or 0.0)  # so that what comes back is the same
    return number


def write_audacity(stream: TextIO, recordings: Iterable[Clips]) -> int:
    """Raises UnknownFormat for more than one recording: a label track does not name its sound."""
    found = list(islice(recordings, 2))
    if len(found) > 1:
        raise UnknownFormat(
            "an Audacity label track is of one recording and these are several; name a"
            " folder with -o, for one file each"
        )
    rows = [clip for _, clips in found for clip in clips]
    for clip in rows:
        stream.write(f"{clip.start_s or 0:.6f}\t{clip.end_s or 0:.6f}\t{_label(clip)}\n")
    return len(rows)


def write_kaleidoscope(stream: TextIO, recordings: Iterable[Clips]) -> int:
    write_row = csv_row_writer(stream)
    write_row(KALEIDOSCOPE_COLUMNS)
    number = 0
    for recording, clips in recordings:
        root, (folder, name) = recording.inbox, os.path.split(recording.path)
        if recording.archived_path:
            folder, (root, name) = "", os.path.split(recording.archived_path)
        for clip in clips:
            start_s, end_s = clip.start_s or 0.0, clip.end_s or 0.0
            times = (f"{start_s:.3f}", f"{end_s - start_s:.3f}")
            place = (root, folder, name, 0)
            names = clip.label, f"{clip.confidence or 0:.4f}", clip.human_label or ""
            write_row((*place, *times, *names))
        number += len(clips)
    return number


def _own_name(inbox: str, names: dict[str, str]) -> str:
    """The name of an inbox, so that equal paths of several stay apart; `names` has those given."""
    if inbox not in names:
        name = visible(Path(inbox).name) or "inbox"
        own = (name, *(f"{name}-{number}" for number in range(2, len(names) + 3)))
        names[inbox] = next(each for each in own if each not in names.values())
    return names[inbox]


def _label(clip: Result) -> str:
    """What a person says, else what was answered."""
    return visible(clip.human_label or clip.label or "")


def _path(recording: Result) -> str:
    return recording.archived_path or os.path.join(recording.inbox, recording.path)
