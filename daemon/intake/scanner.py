"""What lies in an inbox now: its listing, in bounded memory, and whether its mount has gone."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import accumulate, islice
from pathlib import Path
from typing import NamedTuple

from classifier.audio.regular_file import fingerprint, shared_fingerprint
from storage.home.folder_walk import (
    Entry,
    Failed,
    FolderWalk,
    Walk,
    folder_identity,
    folders_apart,
)
from storage.home.inbox_rules import (
    LEAVING,
    FileKind,
    IgnoreList,
    count_ignored,
    file_kind,
    is_system_folder,
)
from storage.home.mounts import FindMount, is_away, is_unmounted, mount_of
from storage.home.safe_open import FolderApart, Identity, stat_below
from storage.ledger.ledger import Ledger
from storage.ledger.outcomes import Arrival
from storage.settings.schema import Settings
from storage.values.text import printable_path, visible

MAX_NAMED = 5  # folders of an inbox that cannot be listed; the others are counted


@dataclass
class Inbox:
    """A watched folder. Links are never followed, neither to files nor to folders.

    Nor are folders entered that are another one of `inboxes`, or the `archive`, which is asked for
    with each scan.
    """

    root: Path
    suffixes: frozenset[bytes]
    ignored: IgnoreList = field(default_factory=IgnoreList)
    inboxes: tuple[Path, ...] = ()
    archive: Callable[[], Identity | None] = lambda: None
    is_shared: bool = False  # with other machines, which see another device and inode
    walk: Callable[[Path, Failed, Collection[Identity]], Walk] = FolderWalk
    apart: set[Identity] = field(default_factory=set, init=False)  # since the last scan

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
            found = stat_below(self._folder, path, self.apart)
        except OSError:
            return None
        return self.arrival(path, found)

    @cached_property
    def _folder(self) -> bytes:
        return os.fsencode(self.root)

    def scan(self) -> Scan:
        self.apart = folders_apart(self.root, self.inboxes or (self.root,), self.archive())
        return Scan(self)

    def arrival(self, path: bytes, found: os.stat_result) -> Arrival | None:
        if not stat.S_ISREG(found.st_mode):
            return None
        known = fingerprint(found)
        known = shared_fingerprint(known) if self.is_shared else known
        return Arrival(self.root, path, known, found.st_size)


def inboxes_of(
    settings: Settings, archive: Callable[[], Identity | None] | None = None
) -> list[Inbox]:
    """The watched folders, with what the settings say about names, and which one the archive is."""
    archive = archive or partial(folder_identity, settings.archive)
    return [
        replace(
            inbox_at(root, settings),
            inboxes=settings.inboxes,
            archive=archive,
            is_shared=str(root) in settings.fleet.inboxes,
        )
        for root in settings.inboxes
    ]


def inbox_at(root: Path, settings: Settings) -> Inbox:
    suffixes = frozenset(suffix.encode() for suffix in settings.intake.suffixes)
    return Inbox(root, suffixes, IgnoreList(settings.intake.ignore))


class IgnoredFiles(NamedTuple):
    """A name that is not taken: `path` relative to the inbox, `why` for people.

    `is_unseen`: it might be, if it could be looked at.
    """

    path: bytes
    is_partial: bool
    why: str
    is_unseen: bool = False


@dataclass
class Scan:
    """One listing in progress, asked for a few arrivals at a time.

    `ignored` counts files with other suffixes, links and the like, `partial` names of copies under
    way. `fault` says why the root, `left_out` why which sub-folders, could not be listed. Of
    `n_unseen` files not even the size is known; `first_unseen` names one of them and says why.
    """

    inbox: Inbox
    arrivals: int = 0
    ignored: int = 0
    partial: int = 0
    fault: str | None = None
    left_out: dict[bytes, str] = field(default_factory=dict)
    n_unseen: int = 0
    first_unseen: str | None = None
    by_suffix: Counter[str] = field(default_factory=Counter)  # of what is left out for that
    leaving: list[bytes] = field(default_factory=list)  # by names of an archive that was killed

    def __post_init__(self) -> None:
        self._walk = self.inbox.walk(self.inbox.root, self._note_failure, self.inbox.apart)
        self._found = self._counted()
        self.is_over = False

    @property
    def folders(self) -> int:
        """That were listed so far."""
        return self._walk.n_folders

    @property
    def watchable_folders(self) -> int:
        """Of these, those in which the kernel can watch for events."""
        return self._walk.n_nameable

    @property
    def n_names(self) -> int:
        """That were listed so far."""
        files = self.arrivals + self.ignored + self.partial + self.n_unseen
        return files + max(0, self.folders - 1)

    @property
    def faults(self) -> list[str]:
        """What could not be listed or looked at, for people."""
        root, n_more = self.inbox.root, len(self.left_out) - MAX_NAMED
        found = [self.fault] if self.fault else []
        for folder, why in islice(self.left_out.items(), MAX_NAMED):
            found.append(f"folder {_shown(os.path.join(os.fsencode(root), folder))} {why}")
        if n_more > 0:
            found.append(f"{n_more} more folders of inbox {root} are left out like these")
        if self.n_unseen:
            found.append(f"inbox {root}: files not seen: {self.n_unseen}; {self.first_unseen}")
        return found

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
        yield from (found for found in self._found if found)

    def _counted(self) -> Generator[Arrival | IgnoredFiles | None]:
        for found in self._list():
            self.arrivals += isinstance(found, Arrival)
            if isinstance(found, IgnoredFiles):
                self.partial += found.is_partial
                self.n_unseen += found.is_unseen
                self.ignored += not (found.is_partial or found.is_unseen)
            yield found

    def _list(self) -> Iterator[Arrival | IgnoredFiles | None]:
        """A folder is None: a million empty ones must not take all at once either."""
        for path, entry in self._walk.entries():
            try:
                if self.inbox.ignored.has(path):
                    yield IgnoredFiles(path, False, "on the list of intake.ignore")
                elif not entry.is_dir(follow_symlinks=False):
                    yield self._file(entry, path)
                elif is_system_folder(os.fsencode(entry.name)):
                    yield IgnoredFiles(path, False, "a hidden or system folder")
                else:
                    self._walk.enter(path)
                    yield None
            except FileNotFoundError:
                continue  # gone between listing and look
            except OSError as error:
                why = f"cannot be looked at: {error.strerror}"
                self.first_unseen = self.first_unseen or f"{_shown(path)} {why}"
                yield IgnoredFiles(path, False, why, is_unseen=True)

    def _file(self, entry: Entry, path: bytes) -> Arrival | IgnoredFiles:
        name = os.fsencode(entry.name)
        if name.startswith(LEAVING):
            self.leaving.append(path)
            return IgnoredFiles(path, True, "on its way to the archive")
        kind = file_kind(name, self.inbox.suffixes)
        if kind is not FileKind.AUDIO:
            count_ignored(self.by_suffix, name, self.inbox.suffixes)
        if kind is FileKind.PARTIAL:
            return IgnoredFiles(path, True, "the name of a copy under way")
        if kind is FileKind.IGNORED:
            return IgnoredFiles(path, False, "not an audio file by its suffix, or hidden")
        arrival = self.inbox.arrival(path, entry.stat(follow_symlinks=False))
        return arrival or IgnoredFiles(path, False, "a link or another special file")

    def _note_failure(self, folder: bytes, error: OSError) -> None:
        why = "cannot be listed" if folder else f"cannot be listed: {error.strerror}"
        if isinstance(error, FolderApart):
            why = "is left out, since it is the archive or another inbox; take away the mount"
        if not folder:
            self.fault = f"inbox {self.inbox.root} {why}"
        elif not isinstance(error, FileNotFoundError):
            self.left_out[folder] = why


def _shown(path: bytes) -> str:
    return visible(printable_path(path))


class MountMemory:
    """The mounts under which inboxes were found, which the ledger keeps; has one of them gone?"""

    def __init__(self, ledger: Ledger, find_mount: FindMount = mount_of) -> None:
        self._ledger = ledger
        file = ledger.database.file
        self._ledger_file = file and file.absolute()
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
