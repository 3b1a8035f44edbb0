"""The listing of an inbox: what is there now, told with scandir and in bounded memory."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from classifier.fingerprint import fingerprint
from daemon.names import Verdict, is_system_folder, judge_name
from storage.outcomes import Arrival


@dataclass
class Inbox:
    """A watched folder. Links are never followed, neither to files nor to folders."""

    root: Path
    suffixes: frozenset[bytes]

    def look_at(self, path: bytes) -> Arrival | None:
        """The file at `path` (relative to the root) as it is now; None where it is not ours."""
        folders, name = os.path.split(path)
        if any(is_system_folder(part) for part in folders.split(b"/") if part):
            return None
        if judge_name(name, self.suffixes) is not Verdict.AUDIO:
            return None
        try:
            found = os.lstat(os.path.join(os.fsencode(self.root), path))
        except OSError:
            return None
        return self.arrival(path, found)

    def scan(self) -> Scan:
        return Scan(self)

    def arrival(self, path: bytes, found: os.stat_result) -> Arrival | None:
        if not stat.S_ISREG(found.st_mode):
            return None
        return Arrival(self.root, path, fingerprint(found), found.st_size)


class LeftOut(NamedTuple):
    """A name that is not taken: `path` relative to the inbox, `why` for people."""

    path: bytes
    is_partial: bool
    why: str


@dataclass
class Scan:
    """One listing in progress, asked for a few arrivals at a time.

    `ignored` counts files with other suffixes, links and the like, `partial` names of copies under
    way. `fault` says why the root, `unreadable` which sub-folders, could not be listed.
    """

    inbox: Inbox
    ignored: int = 0
    partial: int = 0
    fault: str | None = None
    unreadable: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._found = self.entries()

    def take(self, n: int) -> list[Arrival]:
        """Up to `n` further arrivals; an empty list at the end."""
        return list(islice((f for f in self._found if isinstance(f, Arrival)), n))

    def close(self) -> None:
        """Gives up a listing half way, with the folder that is open."""
        self._found.close()

    def entries(self) -> Generator[Arrival | LeftOut]:
        """Everything there is, also what is left out."""
        for found in self._list(b""):
            if isinstance(found, LeftOut):
                self.partial += found.is_partial
                self.ignored += not found.is_partial
            yield found

    def _list(self, top: bytes) -> Iterator[Arrival | LeftOut]:
        """Folder by folder: one is open at a time, and a tree may be deeper than Python's stack."""
        folders = [top]
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(os.path.join(os.fsencode(self.inbox.root), folder)) as entries:
                    for entry in entries:
                        path = os.path.join(folder, entry.name)
                        if not entry.is_dir(follow_symlinks=False):
                            yield from self._file(entry, path)
                        elif is_system_folder(entry.name):
                            yield LeftOut(path, False, "a hidden or system folder")
                        else:
                            folders.append(path)
            except OSError as error:
                self._not_listed(folder, error)

    def _file(self, entry: os.DirEntry[bytes], path: bytes) -> Iterator[Arrival | LeftOut]:
        verdict = judge_name(entry.name, self.inbox.suffixes)
        if verdict is Verdict.PARTIAL:
            yield LeftOut(path, True, "the name of a copy under way")
        elif verdict is Verdict.IGNORED:
            yield LeftOut(path, False, "not an audio file by its suffix, or hidden")
        else:
            try:
                arrival = self.inbox.arrival(path, entry.stat(follow_symlinks=False))
            except OSError:
                return  # gone between listing and look
            yield arrival or LeftOut(path, False, "a link or another special file")

    def _not_listed(self, folder: bytes, error: OSError) -> None:
        if not folder:
            self.fault = f"inbox {self.inbox.root} cannot be listed: {error.strerror}"
        elif not isinstance(error, FileNotFoundError):
            self.unreadable.append(os.fsdecode(folder))
