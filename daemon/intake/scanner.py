"""What lies in an inbox now: its listing, in bounded memory, and whether its mount has gone."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, islice
from pathlib import Path
from typing import NamedTuple

from classifier.audio.regular_file import fingerprint
from storage.home.inbox_rules import FileKind, IgnoreList, file_kind, is_system_folder
from storage.home.mounts import FindMount, is_away, is_unmounted, mount_of
from storage.ledger.ledger import Ledger
from storage.ledger.outcomes import Arrival
from storage.settings.schema import Settings


@dataclass
class Inbox:
    """A watched folder. Links are never followed, neither to files nor to folders."""

    root: Path
    suffixes: frozenset[bytes]
    ignored: IgnoreList = field(default_factory=IgnoreList)

    def look_at(self, path: bytes) -> Arrival | None:
        """The file at `path` (relative to the root) as it is now; None where it is not ours."""
        *folders, name = path.split(b"/")
        # A scan would not get beyond one of these.
        above = accumulate(folders, lambda outer, inner: outer + b"/" + inner)
        if any(map(is_system_folder, folders)) or any(map(self.ignored.has, (path, *above))):
            return None
        if file_kind(name, self.suffixes) is not FileKind.AUDIO:
            return None
        return self.look_again(path)

    def look_again(self, path: bytes) -> Arrival | None:
        """As `look_at`, for a path that was ours when it was found: its name says the same."""
        try:
            found = os.lstat(os.path.join(self._folder, path))
        except OSError:
            return None
        return self.arrival(path, found)

    @cached_property
    def _folder(self) -> bytes:
        return os.fsencode(self.root)

    def scan(self) -> Scan:
        return Scan(self)

    def arrival(self, path: bytes, found: os.stat_result) -> Arrival | None:
        if not stat.S_ISREG(found.st_mode):
            return None
        return Arrival(self.root, path, fingerprint(found), found.st_size)


def inboxes_of(settings: Settings) -> list[Inbox]:
    """The watched folders, with what the settings say about names."""
    return [inbox_at(root, settings) for root in settings.inboxes]


def inbox_at(root: Path, settings: Settings) -> Inbox:
    suffixes = frozenset(suffix.encode() for suffix in settings.intake.suffixes)
    return Inbox(root, suffixes, IgnoreList(settings.intake.ignore))


class IgnoredFiles(NamedTuple):
    """A name that is not taken: `path` relative to the inbox, `why` for people."""

    path: bytes
    is_partial: bool
    why: str


@dataclass
class Scan:
    """One listing in progress, asked for a few arrivals at a time.

    `ignored` counts files with other suffixes, links and the like, `partial` names of copies under
    way, `folders` those that were listed. `fault` says why the root, `unreadable` which
    sub-folders, could not be listed.
    """

    inbox: Inbox
    arrivals: int = 0
    ignored: int = 0
    partial: int = 0
    folders: int = 0
    fault: str | None = None
    unreadable: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._found = self._counted()
        self.is_over = False

    @property
    def n_names(self) -> int:
        """That were listed so far."""
        return self.arrivals + self.ignored + self.partial + max(0, self.folders - 1)

    def take(self, n: int) -> list[Arrival]:
        """The arrivals among `n` further names; a million others must not take all at once."""
        names = list(islice(self._found, n))
        self.is_over = len(names) < n
        return [name for name in names if isinstance(name, Arrival)]

    def close(self) -> None:
        """Gives up a listing half way, with the folder that is open."""
        self._found.close()

    def entries(self) -> Iterator[Arrival | IgnoredFiles]:
        """Everything there is, also what is left out; folders by what is in them."""
        yield from (found for found in self._counted() if found)

    def _counted(self) -> Generator[Arrival | IgnoredFiles | None]:
        for found in self._list():
            self.arrivals += isinstance(found, Arrival)
            if isinstance(found, IgnoredFiles):
                self.partial += found.is_partial
                self.ignored += not found.is_partial
            yield found

    def _list(self) -> Iterator[Arrival | IgnoredFiles | None]:
        """Folder by folder: one is open at a time, and a tree may be deeper than Python's stack.

        A folder is None: a million empty ones must not take all at once either.
        """
        folders = [b""]
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(os.path.join(os.fsencode(self.inbox.root), folder)) as entries:
                    self.folders += 1
                    for entry in entries:
                        path = os.path.join(folder, entry.name)
                        if self.inbox.ignored.has(path):
                            yield IgnoredFiles(path, False, "on the list of intake.ignore")
                        elif not entry.is_dir(follow_symlinks=False):
                            yield from self._file(entry, path)
                        elif is_system_folder(entry.name):
                            yield IgnoredFiles(path, False, "a hidden or system folder")
                        else:
                            folders.append(path)
                            yield None
            except OSError as error:
                if not folder:
                    self.fault = f"inbox {self.inbox.root} cannot be listed: {error.strerror}"
                elif not isinstance(error, FileNotFoundError):
                    self.unreadable.append(os.fsdecode(folder))

    def _file(self, entry: os.DirEntry[bytes], path: bytes) -> Iterator[Arrival | IgnoredFiles]:
        kind = file_kind(entry.name, self.inbox.suffixes)
        if kind is FileKind.PARTIAL:
            yield IgnoredFiles(path, True, "the name of a copy under way")
        elif kind is FileKind.IGNORED:
            yield IgnoredFiles(path, False, "not an audio file by its suffix, or hidden")
        else:
            try:
                arrival = self.inbox.arrival(path, entry.stat(follow_symlinks=False))
            except OSError:
                return  # gone between listing and look
            yield arrival or IgnoredFiles(path, False, "a link or another special file")


class MountMemory:
    """The mounts under which inboxes were found, which the ledger keeps; has one of them gone?"""

    def __init__(self, ledger: Ledger, find_mount: FindMount = mount_of) -> None:
        self._ledger = ledger
        self._ledger_file = ledger.database.path.absolute()
        self._find_mount = find_mount
        self._known: dict[Path, Path] | None = None

    def fault(self, root: Path) -> str | None:
        """What to show people after a listing of `root`, if its mount has gone."""
        if self._known is None:
            self._known = self._ledger.mount_points()
        point, known = self._find_mount(root).point, self._known.get(root)
        if known == point:
            return None
        if is_unmounted(root, known, self._ledger_file, self._find_mount):
            return f"inbox {root} is empty: {known} used to be mounted there and is not; mount it"
        self._ledger.note_mount_point(root, point)
        self._known[root] = point
        return None

    def is_away(self, root: Path) -> bool:
        """Whether what is missing in this inbox now may be back with its mount."""
        return is_away(root, (self._known or {}).get(root), self._ledger_file, self._find_mount)
