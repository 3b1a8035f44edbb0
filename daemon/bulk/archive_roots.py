"""What `clfd bulk` scores: a folder, or a bucket in S3, as one thing that is listed and read."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from classifier.errors import DecodingError, FileChanged
from daemon.errors import DaemonError
from daemon.intake.scanner import Inbox, inbox_at
from storage.bulk.bucket import Bucket, ObjectUnread, is_bucket
from storage.bulk.parquet_parts import ListedFile
from storage.home.folder_walk import overlap
from storage.home.mounts import is_away, mount_of
from storage.settings.schema import Settings
from storage.values.text import printable_path, visible


class Place(NamedTuple):
    """Where workers read a file: its path in a folder of this machine, and its version there."""

    folder: Path
    path: bytes
    fingerprint: str


class ArchiveRoot(ABC):
    """`name` is what the list says, `url` with what it takes to reach it elsewhere, too."""

    name: str
    url: str

    @abstractmethod
    def inbox(self, settings: Settings) -> Inbox:
        """To be scanned. Raises DaemonError or StorageError where it cannot be listed."""

    @abstractmethod
    def overlaps(self, other: ArchiveRoot) -> bool:
        """Whether both hold the same files."""

    @abstractmethod
    def require(self) -> None:
        """Raises DaemonError or StorageError where it is not there, or empty."""

    @abstractmethod
    def find(self, file: ListedFile) -> Place | Iterator[bytes]:
        """Where it lies, or its content, of which a copy counts when all has come.

        The content raises DecodingError, FileChanged, and StorageError where the root is away.
        """

    @abstractmethod
    def refuse_away(self, work: Path) -> None:
        """Raises DaemonError where files are gone because the root is."""


class FolderRoot(ArchiveRoot):
    """A folder, whose links are kept: other machines may know it by this name."""

    def __init__(self, folder: str) -> None:
        self.path = Path(os.path.abspath(folder))
        self.name = self.url = str(self.path)
        self._mount_point = mount_of(self.path).point

    def inbox(self, settings: Settings) -> Inbox:
        if not self.path.is_dir():
            raise DaemonError(f"there is no folder {self.path}; name one that holds recordings")
        if printable_path(os.fsencode(self.path)) != self.name:
            name = visible(printable_path(os.fsencode(self.path)))
            raise DaemonError(f"the name {name} is no UTF-8; name the folder above, or a link")
        return inbox_at(self.path, settings)

    def overlaps(self, other: ArchiveRoot) -> bool:
        return isinstance(other, FolderRoot) and overlap(self.path, other.path)

    def require(self) -> None:
        try:
            with os.scandir(self.path) as entries:
                if next(entries, None) is not None:
                    return
        except OSError as error:
            why = f"{self.name} cannot be listed here: {error.strerror}; mount it"
            raise DaemonError(why) from error
        raise DaemonError(f"{self.name} is empty here; mount what was listed there")

    def find(self, file: ListedFile) -> Place:
        return Place(self.path, file.path, file.fingerprint)

    def refuse_away(self, work: Path) -> None:
        if is_away(self.path, self._mount_point, work):
            raise DaemonError(f"{self.name} is not there any more; mount it, then go on")


class BucketRoot(ArchiveRoot):
    """What lies below a prefix in a bucket."""

    def __init__(self, url: str) -> None:
        self._bucket = Bucket(url)
        self.name, self.url = self._bucket.name, self._bucket.url

    def inbox(self, settings: Settings) -> Inbox:
        return replace(inbox_at(Path(self.name), settings), walk=lambda *_: self._bucket.walk())

    def overlaps(self, other: ArchiveRoot) -> bool:
        one, two = f"{self.name}/", f"{other.name}/"
        return one.startswith(two) or two.startswith(one)

    def require(self) -> None:
        self._bucket.require()

    def find(self, file: ListedFile) -> Iterator[bytes]:
        try:
            yield from self._bucket.read(file.path, file.fingerprint)
        except ObjectUnread as error:
            if error.kind == "changed":
                raise FileChanged from error
            raise DecodingError(error.kind, str(error), transient=error.kind == "io") from error

    def refuse_away(self, work: Path) -> None:
        self._bucket.require_reachable()


def root_at(url: str) -> ArchiveRoot:
    """Raises StorageError for what is no URL of a bucket, or one that is out of reach."""
    return BucketRoot(url) if is_bucket(url) else FolderRoot(url)


def roots_apart(urls: Sequence[str]) -> list[ArchiveRoot]:
    """Raises DaemonError where two hold the same files, and as `root_at`."""
    roots = [root_at(url) for url in urls]
    for one, other in combinations(roots, 2):
        if one.overlaps(other):
            raise DaemonError(f"{one.name} and {other.name} hold the same files; name one of them")
    return roots
