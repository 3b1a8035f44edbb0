"""A folder with one sub-folder per label, in place of a labels file."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from storage.labels.label_names import read_label
from storage.values.text import visible


@dataclass
class Listing:
    """Audio files with their labels, in the order of their names, and what was wrong."""

    files: list[tuple[Path, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def list_folder(folder: Path, suffixes: Collection[str]) -> Listing:
    """`suffixes` (lower case, with dot) say which files are audio; hidden ones are left alone."""
    listing = Listing()
    for entry in sorted(folder.iterdir()):
        if _is_hidden(entry.name):
            continue
        if entry.is_dir():
            _list_label(entry, suffixes, listing)
        elif entry.suffix.lower() in suffixes:
            problem = "it is in no sub-folder, and so has no label"
            listing.problems.append(f"{visible(str(entry))}: {problem}")
    return listing


def _list_label(folder: Path, suffixes: Collection[str], listing: Listing) -> None:
    try:
        label = _label(folder.name)
    except ValueError as error:
        listing.problems.append(f"{visible(str(folder))}: {error}; rename the folder")
        return
    for path in sorted(_audio_files(folder, suffixes, listing)):
        if path.is_file():
            listing.files.append((path, label))
        else:
            listing.problems.append(f"{visible(str(path))}: no such file, or no regular one")


def _label(name: str) -> str:
    if any("\ud800" <= letter <= "\udfff" for letter in name):  # no checkpoint could hold it
        raise ValueError("its name is not UTF-8 and so no name for a label")
    return read_label(name)


def _audio_files(folder: Path, suffixes: Collection[str], listing: Listing) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        place = visible(os.fsdecode(error.filename))
        listing.problems.append(f"{place}: the folder cannot be read ({error.strerror})")

    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        for name in names:
            path = Path(parent, name)
            if path.suffix.lower() in suffixes and not _is_hidden(name):
                yield path


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "@"))  # @eaDir is a NAS's own
