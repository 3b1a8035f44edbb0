"""Opening files and locking folders where others may leave links and pipes under any name.

A link would lead the daemon, or root at the keyboard, to a file of somebody else; a pipe would
have it wait for ever. What stays open is compared with its name, since others may delete it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from storage.home.mounts import mount_of

MAX_NOTE_BYTES = 2**20  # of what clfd keeps a line or a page in, and of settings people write
NOT_PLAIN = "it is a link, a pipe or another special file, where clfd keeps a plain one; remove it"
# Neither follows a link nor waits for whoever writes into a pipe.
SAFE_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
TO_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Asks for no right to list; macOS has no such flag.
TO_PASS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
PATH_MAX = 4096  # of Linux: what has a longer path is reached from folder to folder only

# Device and inode: whatever its names, and no other file has them while this one is open.
Identity = tuple[int, int]


class FolderApart(OSError):
    """A folder that is not to be entered."""


def open_plain(path: Path, flags: int = os.O_RDONLY, mode: int = 0o666) -> int:
    """A descriptor of the file, as `os.open` gives it. Raises OSError, also for what is no file."""
    try:
        handle = os.open(path, flags | SAFE_FLAGS, mode)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a pipe that nobody reads
            raise _not_plain(path) from error
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _not_plain(path)
    return handle


def open_readable(path: Path, allow_pipe: bool = False) -> int:
    """A descriptor of a file that a person named; links are followed.

    With `allow_pipe` also of a pipe, as in `<(...)` and `/dev/stdin`; one that nobody has opened
    for writing has nothing in it. Raises OSError, also for folders, devices and other pipes.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(handle).st_mode
    if not (stat.S_ISREG(mode) or (allow_pipe and stat.S_ISFIFO(mode))):
        os.close(handle)
        reason = "it is no file, but a folder, a device or a pipe"
        raise OSError(errno.EINVAL, reason, os.fspath(path))
    os.set_blocking(handle, True)
    return handle


def read_open(handle: int, max_bytes: int = MAX_NOTE_BYTES) -> bytes:
    """All of an open regular file. Raises OSError where it is larger, or grows meanwhile."""
    expected = os.fstat(handle).st_size  # memory is taken for no more
    if expected > max_bytes:
        raise too_large(f"{max_bytes} bytes")
    with open(handle, "rb", closefd=False) as file:
        content = file.read(expected + 1)
    if len(content) > expected:
        raise too_large(f"{expected} bytes")
    return content


def read_bounded(path: Path, max_bytes: int = MAX_NOTE_BYTES) -> bytes:
    """All of a file that a person named; links are followed. Raises OSError."""
    handle = open_readable(path)
    try:
        return read_open(handle, max_bytes)
    finally:
        os.close(handle)


def read_plain(path: Path, max_bytes: int = MAX_NOTE_BYTES) -> bytes:
    """All of a file that clfd keeps; a link is none. Raises OSError."""
    handle = open_plain(path)
    try:
        return read_open(handle, max_bytes)
    finally:
        os.close(handle)


def too_large(limit: str) -> OSError:
    """What is larger than anything of its kind is read no further, whatever it is."""
    return OSError(errno.EFBIG, f"it has more than {limit}; look what it is")


def file_digest(path: Path) -> str:
    """The SHA-256 of a file in hex; links are followed, pipes are no file. Raises OSError."""
    with open(open_readable(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def create_plain(path: Path, mode: int = 0o666) -> int:
    """A descriptor of a new file; what had the name before is removed. Raises OSError."""
    path.unlink(missing_ok=True)
    return open_plain(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)


def identity_of(path: Path) -> Identity | None:
    """Of what lies under a name; None for nothing. Raises OSError where nobody can tell."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def leads_elsewhere(path: Path, opened: Identity) -> bool:
    """Whether a name does not lead to the open file any more. Raises OSError as `identity_of`.

    A share may give a file another number at each look: there only a missing name counts.
    """
    found = identity_of(path)
    if found is None:
        return True
    return found != opened and not mount_of(path).is_network


def lock_folder(folder: Path, wait: bool = True, shared: bool = False) -> int:
    """A descriptor of the folder; closing it gives the lock back.

    Raises OSError where the folder cannot be opened, and BlockingIOError where another process
    holds the lock and it does not `wait`. A `shared` lock goes with others of its kind.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, kind if wait else kind | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle


def folder_below(parent: int, name: bytes, flags: int = TO_PASS) -> int:
    """A handle of a folder in an open one. Raises OSError.

    A link, or a file, in its place is no folder: FileNotFoundError. So whoever goes from handle to
    handle stays below the folder that was opened first, whatever is exchanged on the way.
    """
    try:
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=parent)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name) from error
        raise


def open_folder(
    root: bytes, path: bytes, flags: int = TO_PASS, apart: Collection[Identity] = ()
) -> int:
    """A handle of the folder at `path` below `root`, which alone may be a link.

    The path may be longer than the kernel takes at once. Raises OSError, and FolderApart where a
    folder on the way is one of those `apart`.
    """
    *above, last = path.split(b"/")
    handle = os.open(root, TO_PASS if path else flags)
    try:
        refuse_apart(handle, apart)
        for name in above:
            handle = _exchanged(handle, name, TO_PASS, apart)
        return _exchanged(handle, last, flags, apart) if path else handle
    except OSError:
        os.close(handle)
        raise


def identity(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino


def refuse_apart(handle: int, apart: Collection[Identity]) -> None:
    """Raises FolderApart."""
    if apart and identity(os.fstat(handle)) in apart:
        raise FolderApart(errno.ELOOP, "not to be entered")


def open_below(root: bytes, path: bytes, flags: int) -> int:
    """A descriptor of the file at `path` below `root`, reached without a link. Raises OSError."""
    folder, _, name = path.rpartition(b"/")
    handle = open_folder(root, folder)
    try:
        return os.open(name, flags | SAFE_FLAGS, dir_fd=handle)
    finally:
        os.close(handle)


def opener_in(root: Path) -> Callable[[bytes, int], int]:
    """Opens paths below `root`, also in another process."""
    return partial(open_below, os.fsencode(root))


def stat_below(root: bytes, path: bytes, apart: Collection[Identity] = ()) -> os.stat_result:
    """What `lstat` says of it, by way of folders only. Raises OSError, as `open_folder`."""
    folder, _, name = path.rpartition(b"/")
    handle = open_folder(root, folder, apart=apart)
    try:
        return os.stat(name, dir_fd=handle, follow_symlinks=False)
    finally:
        os.close(handle)


def _exchanged(handle: int, name: bytes, flags: int, apart: Collection[Identity]) -> int:
    """A folder's handle for that of a folder in it. Raises OSError, and keeps the handle then."""
    below = folder_below(handle, name, flags)
    try:
        refuse_apart(below, apart)
    except OSError:
        os.close(below)
        raise
    os.close(handle)
    return below


def _not_plain(path: Path) -> OSError:
    return OSError(errno.EINVAL, NOT_PLAIN, os.fspath(path))
