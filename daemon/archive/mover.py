"""Moves files from the inbox to the archive: never overwrites, and may be killed at any step.

Within a file system it is a rename. To another one the file is copied aside, flushed, read back,
put in its place, and only then taken away from the inbox. Whoever comes later, after a kill as
well, finds it in the inbox, or at its place, or (copied, not yet taken away) whole in both; a
second call ends what a first one began. A file that may still be written to waits.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import takewhile

from classifier.audio.regular_file import fingerprint, is_version
from daemon.archive.folder_entry import FolderEntry, flush_folder, made_folder
from daemon.archive.leaving import finish, is_renamed, numbered, take_away
from daemon.archive.rename import rename_no_replace
from daemon.intake.open_files import OpenFiles, WriteEvents
from storage.home.folder_walk import folder_identity, with_those_above
from storage.home.paths import Home
from storage.home.safe_open import PATH_MAX, TO_LIST, Identity, identity, open_folder
from storage.ledger.archive_moves import (
    Archived,
    ArchivePlan,
    Move,
    Moved,
    MoveDropped,
    MoveFailed,
    MoveWaits,
    Redirected,
)
from storage.settings.schema import Settings
from storage.values.text import printable_path, visible

BLOCK_BYTES = 2**20
# Of a file of which nothing else tells whether somebody writes into it. After a rename a writer
# goes on in the same file; after a copy what it adds later is lost with the original.
REST_SECONDS, COPY_REST_SECONDS = 60.0, 300.0
MARK = ".clfd-archive"  # tells an archive from the empty folder beneath a missing mount
LEADS_BACK = "the archive leads back into the inbox; take away the link or mount that does so"
# No other file would fare better.
_GENERAL = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.ESTALE,
    errno.ENOTCONN,
    errno.ENODEV,
    errno.ETIMEDOUT,
    errno.EHOSTDOWN,
}
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


class Stopped(Exception):
    """The daemon wants to end; the move is begun anew next time."""


@dataclass
class Mover:
    """Moves files, in any thread; `stop` ends the work after the block under way.

    `makes_root`: a missing archive is made. Elsewhere it is waited for, since it may be a mount
    that is away; then `expects_mark` says that files were put there before. `root_identity` is
    the folder that the archive was at the last look: others need not wait for a dead mount.
    """

    plan: ArchivePlan
    makes_root: bool = False
    open_files: OpenFiles = field(default_factory=lambda: OpenFiles(WriteEvents()))
    clock: Callable[[], float] = time.time  # as files are stamped by
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.root_identity = folder_identity(self.plan.root)

    def move(
        self,
        moves: Sequence[Move],
        expects_mark: bool = False,
        require_ledger: Callable[[], None] = lambda: None,
    ) -> list[Moved]:
        """The results are durable: whatever was renamed has been flushed.

        `require_ledger` raises, before each file, where nobody would know of its move.
        """
        if problem := self._root_problem(expects_mark):
            return [MoveFailed(moves[0], problem, is_general=True)]
        batch = _Batch(self.plan, self.stop, self._may_be_written)
        results: list[Moved] = []
        for move in moves:
            require_ledger()
            try:
                results.append(batch.move(move))
            except Stopped:
                break
            except OSError as error:
                results.append(_failed(move, error))
                if error.errno in _GENERAL:
                    break
        return batch.flush(results)

    def _may_be_written(self, move: Move, found: os.stat_result) -> bool:
        is_open = self.open_files.is_open(move.inbox, move.path, found.st_size)
        if is_open is not None:
            return is_open
        is_copied = self.root_identity is None or found.st_dev != self.root_identity[0]
        # Of a clock that differs by years nobody need wait for the end.
        rested_seconds = abs(self.clock() - found.st_ctime)
        return rested_seconds < (COPY_REST_SECONDS if is_copied else REST_SECONDS)

    def _root_problem(self, expects_mark: bool) -> str | None:
        root = self.plan.root
        try:
            if self.makes_root:
                root.mkdir(parents=True, exist_ok=True)
            elif not root.is_dir():
                return f"{root} is missing; make it, or mount what belongs there"
            elif not (root / MARK).exists():
                if expects_mark:
                    return (
                        f"{root} is not the folder that files were archived in before: mount what"
                        f" belongs there, or, if it is right, make the file {MARK} in it"
                    )
                (root / MARK).touch()
        except OSError as error:
            return f"{root}: {error.strerror}"
        self.root_identity = folder_identity(root)
        return None


def archive_plan(settings: Settings) -> ArchivePlan | None:
    """Where done files go; None without an archive."""
    root = settings.archive
    return None if root is None else ArchivePlan(root, settings.inboxes)


def make_mover(home: Home, settings: Settings, open_files: OpenFiles) -> Mover | None:
    """An archive in the home is made; one elsewhere may be a mount, and is waited for."""
    plan = archive_plan(settings)
    return None if plan is None else Mover(plan, plan.root.is_relative_to(home.root), open_files)


@dataclass
class _Batch:
    """Some moves, one after the other, whose folders are flushed together.

    Every folder is opened once for a move, and what is done in it is done by that handle: a
    folder that is exchanged for a link meanwhile leads nowhere.
    """

    plan: ArchivePlan
    stop: threading.Event
    may_be_written: Callable[[Move, os.stat_result], bool]
    used: set[bytes] = field(default_factory=set)  # places of this batch
    unflushed: dict[Identity, int] = field(default_factory=dict)  # handles of folders

    def move(self, move: Move) -> Moved:
        if self.stop.is_set():
            raise Stopped
        with ExitStack() as handles:
            source = _source(move, handles)
            found = None if source is None else source.look()
            if source is None or found is None or not is_renamed(found, move.fingerprint):
                return self._without_source(move, source, handles)
            if self.may_be_written(move, found):
                return MoveWaits(move)
            place = self.plan.place(os.fsencode(move.inbox), move.path)
            if place is None:
                return MoveDropped(move)
            if not self.plan.holds(move.place):  # the setting has changed
                return Redirected(move, place)
            if len(move.place) >= PATH_MAX:  # nobody could open it there by its name
                raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), move.place)
            target = self._target(move, source, handles)
            if target.look() is not None:
                return self._occupied(move, source, target)
            return self._to_free_place(move, found, source, target)

    def flush(self, results: list[Moved]) -> list[Moved]:
        """The results; what cannot be flushed has failed, and is tried again later."""
        try:
            for folder in self.unflushed.values():
                flush_folder(folder)
        except OSError as error:
            return [_failed(r.move, error) if isinstance(r, Archived) else r for r in results]
        finally:
            for folder in self.unflushed.values():
                os.close(folder)
        return results

    def _target(self, move: Move, source: FolderEntry, handles: ExitStack) -> FolderEntry:
        """Its place, in a folder that is made where it is missing."""
        folder = os.path.dirname(move.place)
        inboxes = {identity(os.stat(inbox)) for inbox in self.plan.inboxes if inbox.exists()}
        # A link or a mount may lead from the archive back to the inbox: a file would come in again
        # under another name, and again, or is there under two names.
        way = {*takewhile(lambda each: each not in inboxes, with_those_above(source.folder))}

        def refuse_way_back(handle: int) -> None:
            if not (inboxes | way).isdisjoint(with_those_above(handle)):
                raise OSError(errno.ELOOP, LEADS_BACK, folder)

        handle = made_folder(folder, refuse_way_back)
        handles.callback(os.close, handle)
        refuse_way_back(handle)
        return FolderEntry(handle, move.place)

    def _without_source(self, move: Move, source: FolderEntry | None, handles: ExitStack) -> Moved:
        """It went, or was about to, before a kill, or somebody else changed it or took it away."""
        try:
            handle = os.open(os.path.dirname(move.place), TO_LIST)
        except OSError as error:
            if error.errno not in _NOT_THERE:
                raise
            return MoveDropped(move)
        handles.callback(os.close, handle)
        target = FolderEntry(handle, move.place)
        if not move.is_taken and move.place not in self.used and self._holds(target, move):
            if source is not None:
                finish(move.fingerprint, source)
            return self._arrived(move, target)
        if source is not None:
            finish("", source)
        with contextlib.suppress(OSError):
            _aside(move, target).unlink()
        return MoveDropped(move)

    def _occupied(self, move: Move, source: FolderEntry, target: FolderEntry) -> Moved:
        """By itself, copied but not yet taken away before a kill; or by something else."""
        try:
            is_itself = self._holds(target, move)
        except PermissionError:
            is_itself = False
        if move.is_taken or move.place in self.used or not is_itself:
            return Redirected(move, _free_place(target))
        flush_folder(target.folder)
        take_away(move.fingerprint, source, target.unlink)
        return self._arrived(move, target)

    def _to_free_place(
        self, move: Move, found: os.stat_result, source: FolderEntry, target: FolderEntry
    ) -> Moved:
        try:
            if found.st_dev == os.fstat(target.folder).st_dev:
                is_as_read = is_version(move.fingerprint, fingerprint(found))
                return self._rename(move, source, target) if is_as_read else MoveDropped(move)
        except OSError as error:
            if error.errno != errno.EXDEV:  # one file system, mounted twice
                raise
        return self._copy(move, source, target)

    def _rename(self, move: Move, source: FolderEntry, target: FolderEntry) -> Moved:
        try:
            rename_no_replace(source, target)
        except FileExistsError:
            return Redirected(move, _free_place(target))
        # Replaced, or written to, in this very moment: that is another version.
        if not is_renamed(target.stat(), move.fingerprint):
            rename_no_replace(target, source)
            return MoveDropped(move)
        self._flush_later(source.folder)
        return self._arrived(move, target)

    def _copy(self, move: Move, source: FolderEntry, target: FolderEntry) -> Moved:
        # Better known before than after.
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=source.folder):
            folder = os.path.dirname(source.path)
            raise OSError(errno.EACCES, "files cannot be taken out of this folder", folder)
        free = os.statvfs(target.folder)
        if move.size_bytes > free.f_bavail * free.f_frsize:
            return MoveFailed(move, f"no space for {_shown(source.path)} in {_shown(target.path)}")
        aside = _aside(move, target)
        try:
            if not self._copy_aside(move, source, aside):
                return MoveDropped(move)
            rename_no_replace(aside, target)
        except FileExistsError:
            return Redirected(move, _free_place(target))
        finally:
            with contextlib.suppress(OSError):  # gone when it is in its place
                aside.unlink()
        flush_folder(target.folder)
        take_away(move.fingerprint, source, target.unlink)
        return self._arrived(move, target)

    def _copy_aside(self, move: Move, whole: FolderEntry, aside: FolderEntry) -> bool:
        """Whole and on the disk; False where the file is not the version recorded any more."""
        with contextlib.suppress(FileNotFoundError):
            aside.unlink()  # of a copy that was killed
        with whole.opened(os.O_RDONLY) as source, aside.opened(_NEW) as target:
            before = os.fstat(source)
            digest = hashlib.sha256()
            for block in self._blocks(source):
                digest.update(block)
                _write(target, block)
            if not is_renamed(before, move.fingerprint):
                return False
            if fingerprint(before) != fingerprint(os.fstat(source)):
                return False
            with contextlib.suppress(PermissionError):  # file systems without modes and owners
                os.fchmod(target, stat.S_IMODE(before.st_mode) & 0o777 | 0o600)
                os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
            os.fsync(target)
            if digest.hexdigest() != move.digest:
                raise OSError(errno.EIO, "reads otherwise than when it was heard", whole.path)
            if self._digest(target) != move.digest:
                raise OSError(errno.EIO, "the copy reads otherwise than its original", aside.path)
        return True

    def _holds(self, target: FolderEntry, move: Move) -> bool:
        """The very file, or its content to the last bit; never a link."""
        try:
            with target.opened(os.O_RDONLY) as file:
                found = os.fstat(file)
                if not stat.S_ISREG(found.st_mode) or found.st_size != move.size_bytes:
                    return False
                return is_renamed(found, move.fingerprint) or self._digest(file) == move.digest
        except OSError as error:
            if error.errno not in (*_NOT_THERE, errno.ENXIO):
                raise
            return False

    def _arrived(self, move: Move, target: FolderEntry) -> Archived:
        self.used.add(move.place)
        self._flush_later(target.folder)
        return Archived(move, fingerprint(target.stat()))

    def _flush_later(self, folder: int) -> None:
        which = identity(os.fstat(folder))
        if which not in self.unflushed:
            self.unflushed[which] = os.dup(folder)

    def _digest(self, file: int) -> str:
        """SHA-256 of what the disk holds, not of what the page cache remembers."""
        if hasattr(os, "posix_fadvise"):  # not on macOS
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.lseek(file, 0, os.SEEK_SET)
        digest = hashlib.sha256()
        for block in self._blocks(file):
            digest.update(block)
        return digest.hexdigest()

    def _blocks(self, file: int) -> Iterator[bytes]:
        while block := os.read(file, BLOCK_BYTES):
            if self.stop.is_set():
                raise Stopped
            yield block


_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL


def _write(file: int, block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(file, rest) :]


def _source(move: Move, handles: ExitStack) -> FolderEntry | None:
    """The file in its folder, reached without a link; None where there is no such folder."""
    folder = os.path.dirname(move.path)
    try:
        handle = open_folder(os.fsencode(move.inbox), folder, TO_LIST)
    except (FileNotFoundError, NotADirectoryError):
        return None
    handles.callback(os.close, handle)
    return FolderEntry(handle, move.source)


def _free_place(target: FolderEntry) -> bytes:
    """`x.1.wav` beside `x.wav`, or the first number that is free."""
    return next(entry.path for entry in numbered(target) if entry.look() is None)


def _aside(move: Move, target: FolderEntry) -> FolderEntry:
    """One name for each source, so that a copy that was killed is found and replaced."""
    name = hashlib.sha256(move.source).hexdigest()[:16].encode()
    return target.beside(b".clfd-%s.partial" % name)


def _failed(move: Move, error: OSError) -> MoveFailed:
    named = _shown(os.fsencode(error.filename or move.source))
    if error.filename2:  # of a rename: either side may have refused it
        named = f"{named} cannot become {_shown(os.fsencode(error.filename2))}"
    reason = f"{named}: {error.strerror}"
    return MoveFailed(move, reason, error.errno in _GENERAL)


def _shown(path: bytes) -> str:
    return visible(printable_path(path))
