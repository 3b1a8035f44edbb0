"""Moves files from the inbox to the archive: never overwrites, and may be killed at any step.

Within a file system it is a rename. To another one the file is copied aside, flushed, read back,
put in its place, and only then taken away from the inbox. Whoever comes later, after a kill as
well, finds it in the inbox, or at its place, or (copied, not yet taken away) whole in both; a
second call ends what a first one began.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from classifier.audio.regular_file import fingerprint
from daemon.archive.rename import rename_no_replace
from storage.home.paths import Home
from storage.home.safe_open import SAFE_FLAGS
from storage.ledger.archive_moves import (
    Archived,
    ArchivePlan,
    Move,
    Moved,
    MoveDropped,
    MoveFailed,
    Redirected,
)
from storage.settings.schema import Settings
from storage.values.text import printable_path, visible

BLOCK_BYTES = 2**20
MAX_NAME_BYTES = 255
MARK = ".clfd-archive"  # tells an archive from the empty folder beneath a missing mount
_OPEN = os.O_RDONLY | SAFE_FLAGS
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
_NO_FLUSH_NEEDED = (errno.EINVAL, errno.ENOTSUP)  # file systems that cannot flush a folder


class Stopped(Exception):
    """The daemon wants to end; the move is begun anew next time."""


@dataclass
class Mover:
    """Moves files, in any thread; `stop` ends the work after the block under way.

    `makes_root`: a missing archive is made. Elsewhere it is waited for, since it may be a mount
    that is away; then `expects_mark` says that files were put there before.
    """

    plan: ArchivePlan
    makes_root: bool = False
    stop: threading.Event = field(default_factory=threading.Event)

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
        batch = _Batch(self.plan, self.stop)
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
        return None


def archive_plan(settings: Settings) -> ArchivePlan | None:
    """Where done files go; None without an archive."""
    root = settings.archive
    return None if root is None else ArchivePlan(root, settings.inboxes)


def make_mover(home: Home, settings: Settings) -> Mover | None:
    """An archive in the home is made; one elsewhere may be a mount, and is waited for."""
    plan = archive_plan(settings)
    return None if plan is None else Mover(plan, plan.root.is_relative_to(home.root))


@dataclass
class _Batch:
    """Some moves, one after the other, whose folders are flushed together."""

    plan: ArchivePlan
    stop: threading.Event
    used: set[bytes] = field(default_factory=set)  # places of this batch
    unflushed: dict[bytes, None] = field(default_factory=dict)  # folders

    def move(self, move: Move) -> Moved:
        if self.stop.is_set():
            raise Stopped
        found = _stat(move.source)
        if found is None or fingerprint(found) != move.fingerprint:
            return self._without_source(move)
        place = self.plan.place(os.fsencode(move.inbox), move.path)
        if place is None:
            return MoveDropped(move)
        if not self.plan.holds(move.place):  # the setting has changed
            return Redirected(move, place)
        self._refuse_inbox(move)
        self._make_folder(os.path.dirname(move.place))
        _refuse_one_folder(move)
        if _stat(move.place) is not None:
            return self._occupied(move)
        return self._to_free_place(move, found)

    def flush(self, results: list[Moved]) -> list[Moved]:
        """The results; what cannot be flushed has failed, and is tried again later."""
        try:
            for folder in self.unflushed:
                _flush_folder(folder)
        except OSError as error:
            return [_failed(r.move, error) if isinstance(r, Archived) else r for r in results]
        return results

    def _refuse_inbox(self, move: Move) -> None:
        """Through a link the file would come in again, under another name, and again."""
        target = Path(os.fsdecode(os.path.realpath(os.path.dirname(move.place))))
        if any(target.is_relative_to(os.path.realpath(inbox)) for inbox in self.plan.inboxes):
            raise _leads_back(os.path.dirname(move.place))

    def _without_source(self, move: Move) -> Moved:
        """It went before a kill, or somebody else changed it or took it away."""
        if not move.is_taken and move.place not in self.used and self._lies_at_place(move):
            return self._arrived(move)
        with contextlib.suppress(OSError):
            os.unlink(_aside(move))
        return MoveDropped(move)

    def _occupied(self, move: Move) -> Moved:
        """By itself, copied but not yet taken away before a kill; or by something else."""
        try:
            is_itself = self._lies_at_place(move)
        except PermissionError:
            is_itself = False
        if move.is_taken or move.place in self.used or not is_itself:
            return Redirected(move, _free_place(move.place))
        _flush_folder(os.path.dirname(move.place))
        self._take_away(move)
        return self._arrived(move)

    def _to_free_place(self, move: Move, found: os.stat_result) -> Moved:
        try:
            if found.st_dev == os.stat(os.path.dirname(move.place)).st_dev:
                return self._rename(move)
        except OSError as error:
            if error.errno != errno.EXDEV:  # one file system, mounted twice
                raise
        return self._copy(move)

    def _rename(self, move: Move) -> Moved:
        try:
            rename_no_replace(move.source, move.place)
        except FileExistsError:
            return Redirected(move, _free_place(move.place))
        # Replaced, or written to, in this very moment: that is another version.
        if not _is_renamed(os.lstat(move.place), move.fingerprint):
            rename_no_replace(move.place, move.source)
            return MoveDropped(move)
        self.unflushed |= dict.fromkeys(map(os.path.dirname, (move.place, move.source)))
        return self._arrived(move)

    def _copy(self, move: Move) -> Moved:
        folder = os.path.dirname(move.source)
        if not os.access(folder, os.W_OK | os.X_OK):  # better known before than after
            raise OSError(errno.EACCES, "files cannot be taken out of this folder", folder)
        free = os.statvfs(os.path.dirname(move.place))
        if move.size_bytes > free.f_bavail * free.f_frsize:
            return MoveFailed(move, f"no space for {_shown(move.source)} in {_shown(move.place)}")
        aside = _aside(move)
        try:
            if not self._copy_aside(move, aside):
                return MoveDropped(move)
            rename_no_replace(aside, move.place)
        except FileExistsError:
            return Redirected(move, _free_place(move.place))
        finally:
            with contextlib.suppress(OSError):  # gone when it is in its place
                os.unlink(aside)
        _flush_folder(os.path.dirname(move.place))
        self._take_away(move)
        return self._arrived(move)

    def _copy_aside(self, move: Move, aside: bytes) -> bool:
        """Whole and on the disk; False where the file is not the version recorded any more."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)  # of a copy that was killed
        with _opened(move.source, _OPEN) as source, _opened(aside, _NEW) as target:
            before = os.fstat(source)
            digest = hashlib.sha256()
            for block in self._blocks(source):
                digest.update(block)
                _write(target, block)
            if {fingerprint(before), fingerprint(os.fstat(source))} != {move.fingerprint}:
                return False
            with contextlib.suppress(PermissionError):  # file systems without modes and owners
                os.fchmod(target, stat.S_IMODE(before.st_mode) & 0o777 | 0o600)
                os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
            os.fsync(target)
            if digest.hexdigest() != move.digest:
                raise OSError(errno.EIO, "reads otherwise than when it was heard", move.source)
            if self._digest(target) != move.digest:
                raise OSError(errno.EIO, "the copy reads otherwise than its original", aside)
        return True

    def _take_away(self, move: Move) -> None:
        """Out of the inbox; if that fails, out of the archive again: it lies in one place only."""
        found = _stat(move.source)
        if found is None or fingerprint(found) != move.fingerprint:
            return  # somebody else did, or left a new version there
        try:
            os.unlink(move.source)
        except OSError:
            os.unlink(move.place)
            raise
        _flush_folder(os.path.dirname(move.source))

    def _lies_at_place(self, move: Move) -> bool:
        """The very file, or its content to the last bit; never a link."""
        try:
            with _opened(move.place, _OPEN) as file:
                found = os.fstat(file)
                if not stat.S_ISREG(found.st_mode) or found.st_size != move.size_bytes:
                    return False
                return _is_renamed(found, move.fingerprint) or self._digest(file) == move.digest
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
                return False
            raise

    def _arrived(self, move: Move) -> Archived:
        self.used.add(move.place)
        self.unflushed[os.path.dirname(move.place)] = None
        return Archived(move, fingerprint(os.lstat(move.place)))

    def _make_folder(self, folder: bytes) -> None:
        """With its parents, each flushed into its own parent."""
        if os.path.isdir(folder):
            return
        self._make_folder(os.path.dirname(folder))
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder)
        _flush_folder(os.path.dirname(folder))

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


_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | SAFE_FLAGS


@contextlib.contextmanager
def _opened(path: bytes, flags: int) -> Iterator[int]:
    file = os.open(path, flags, 0o600)
    try:
        yield file
    finally:
        os.close(file)


def _write(file: int, block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(file, rest) :]


def _stat(path: bytes) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_renamed(found: os.stat_result, recorded: str) -> bool:
    """The same inode with the same content times; a rename changes the change time alone."""
    return fingerprint(found).rpartition(":")[0] == recorded.rpartition(":")[0]


def _refuse_one_folder(move: Move) -> None:
    """A mount may lead from the archive back to the inbox: two names of one file."""
    folder, target = os.path.dirname(move.source), os.path.dirname(move.place)
    if os.path.samefile(folder, target):
        raise _leads_back(target)


def _leads_back(folder: bytes) -> OSError:
    reason = "the archive leads back into the inbox; take away the link or mount that does so"
    return OSError(errno.ELOOP, reason, folder)


def _free_place(place: bytes) -> bytes:
    """`x.1.wav` beside `x.wav`, or the first number that is free."""
    folder, name = os.path.split(place)
    stem, suffix = os.path.splitext(name)
    for number in count(1):
        ending = b".%d%s" % (number, suffix)
        candidate = os.path.join(folder, stem[: MAX_NAME_BYTES - len(ending)] + ending)
        if not os.path.lexists(candidate):
            return candidate
    raise AssertionError("numbers do not end")


def _aside(move: Move) -> bytes:
    """One name for each source, so that a copy that was killed is found and replaced."""
    name = b".clfd-%s.partial" % hashlib.sha256(move.source).hexdigest()[:16].encode()
    return os.path.join(os.path.dirname(move.place), name)


def _flush_folder(folder: bytes) -> None:
    with _opened(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) as file:
        try:
            os.fsync(file)
        except OSError as error:
            if error.errno not in _NO_FLUSH_NEEDED:
                raise


def _failed(move: Move, error: OSError) -> MoveFailed:
    named = _shown(os.fsencode(error.filename or move.source))
    if error.filename2:  # of a rename: either side may have refused it
        named = f"{named} cannot become {_shown(os.fsencode(error.filename2))}"
    reason = f"{named}: {error.strerror}"
    return MoveFailed(move, reason, error.errno in _GENERAL)


def _shown(path: bytes) -> str:
    return visible(printable_path(path))
