"""Files of the home by their names, where others of the group may leave links and pipes.

A link would lead the daemon, or root at the keyboard, to a file of somebody else; a pipe would
have it wait for ever.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

NOT_PLAIN = "it is a link, a pipe or another special file, where clfd keeps a plain one; remove it"
_CAREFULLY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_plain(path: Path, flags: int = os.O_RDONLY, mode: int = 0o666) -> int:
    """A descriptor of the file, as `os.open` gives it. Raises OSError, also for what is no file."""
    try:
        handle = os.open(path, flags | _CAREFULLY, mode)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a pipe that nobody reads
            raise _not_plain(path) from error
        raise
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _not_plain(path)
    return handle


def open_without_waiting(path: str, flags: int) -> int:
    """An `opener` for `open`: follows links, but a pipe in a file's place makes nobody wait."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def read_plain(path: Path) -> bytes:
    """All of it. Raises OSError."""
    with os.fdopen(open_plain(path), "rb") as file:
        return file.read()


def create_plain(path: Path, mode: int = 0o666) -> int:
    """A descriptor of a new file; what had the name before is removed. Raises OSError."""
    path.unlink(missing_ok=True)
    return open_plain(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)


def _not_plain(path: Path) -> OSError:
    return OSError(errno.EINVAL, NOT_PLAIN, os.fspath(path))
