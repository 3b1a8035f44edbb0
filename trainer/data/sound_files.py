"""The file that a row of a labels table means, on the system where the table is read."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from storage.labels.tables.label_tables import LabelRow
from storage.values.text import caseless, visible

SHOWN_MISSING = 3
_MOST_FOLDERS = 1000  # of a folder that are looked into
_TABLE_FOLDERS = ("meta", "metadata")  # of ESC-50 and UrbanSound8K; their sounds lie in ../audio


@dataclass
class SoundFiles:
    """Finds files from the folder of a table on.

    Windows writes \\ and knows no case; macOS takes accents apart and tables compose them, or the
    other way round. `suffixes` (lower case, with dot) are of sounds that a table may leave out.
    """

    folder: Path
    suffixes: Collection[str]
    missing: list[str] = field(default_factory=list)
    _names: dict[Path, dict[str, list[str]]] = field(default_factory=dict)

    def find(self, row: LabelRow) -> Path:
        """Raises ValueError where there is none, or no telling which."""
        if not row.path and not row.name:
            raise ValueError("it is empty")
        for path in self._paths(row):
            for slashed in (path, path.replace("\\", "/")):
                if os.path.isfile(self.folder / slashed):
                    return self.folder / slashed
        for path in self._paths(row):
            if found := self._alike(path.replace("\\", "/")):
                return found
        self.missing.append(row.path or row.name)
        raise ValueError(f"no such file: {visible(str(self.folder / (row.path or row.name)))}")

    def likely_folder(self) -> Path | None:
        """Where most of the first missing files lie: above, below, beside, or where a person is."""
        names = [Path(name.replace("\\", "/")) for name in self.missing[:SHOWN_MISSING]]
        above = self.folder.absolute().parent
        near = [Path.cwd(), above, *_folders_in(self.folder.absolute()), *_folders_in(above)]
        for of_names in (names, [Path(name.name) for name in names]):
            numbers = {at: sum((at / name).is_file() for name in of_names) for at in near}
            best = max(near, key=lambda folder: numbers[folder])
            if numbers[best]:
                return best
        return None

    def _paths(self, row: LabelRow) -> Iterator[str]:
        """Most certain first."""
        if row.path:
            yield row.path
        if row.name and row.name != row.path:
            yield "/".join((*row.folders[len(row.folders) - row.n_sure :], row.name))
        if self.folder.absolute().name in _TABLE_FOLDERS:
            for folder in ("", f"fold{row.fold}/"):
                yield f"../audio/{folder}{row.path or row.name}"

    def _alike(self, path: str) -> Path | None:
        """The one file that differs in case, in how accents are written, or by its suffix."""
        *folders, name = Path(path).parts or (path,)
        reached = [self.folder]
        for part in folders:
            reached = [folder / each for folder in reached for each in self._entries(folder, part)]
        endings = ("", *self.suffixes)
        found = [
            folder / each
            for folder in reached
            for ending in endings
            for each in self._entries(folder, name + ending)
            if os.path.isfile(folder / each)
        ]
        if len(found) > 1:
            several = " or ".join(sorted(visible(str(each)) for each in found[:2]))
            raise ValueError(f"{visible(path)} may be {several}; write it as one of them")
        return found[0] if found else None

    def _entries(self, folder: Path, name: str) -> list[str]:
        if name in ("..", "/"):
            return [name]
        if folder not in self._names:
            self._names[folder] = {}
            try:
                names = os.listdir(folder)
            except OSError:
                names = []
            for each in names:
                self._names[folder].setdefault(caseless(each), []).append(each)
        return self._names[folder].get(caseless(name), [])


def _folders_in(folder: Path) -> list[Path]:
    with suppress(OSError):
        return [each for each in islice(folder.iterdir(), _MOST_FOLDERS) if each.is_dir()]
    return []
