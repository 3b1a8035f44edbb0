"""A rename that never overwrites. Python's own `os.rename` replaces what lies at the target."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_NOT_SUPPORTED = (errno.ENOSYS, errno.EINVAL)  # by this kernel, by this file system (NFS, 9p)
# Not os.link and os.unlink: a file that belongs to somebody else may be renamed by who may write
# to its folder, but not be linked (fs.protected_hardlinks).
_renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


def rename_no_replace(source: bytes, target: bytes) -> None:
    """One step, and all or nothing, within one file system.

    Raises FileExistsError where anything lies at the target, and OSError like `os.rename`.
    """
    if _renameat2 is None:
        _reserve_and_rename(source, target)
        return
    if _renameat2(_AT_FDCWD, source, _AT_FDCWD, target, _RENAME_NOREPLACE) == 0:
        return
    error = ctypes.get_errno()
    if error not in _NOT_SUPPORTED:
        raise OSError(error, os.strerror(error), source, None, target)
    _reserve_and_rename(source, target)


def _reserve_and_rename(source: bytes, target: bytes) -> None:
    """An empty file takes the name first. A kill in between leaves it, and costs only the name."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        os.rename(source, target)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(target)
        raise
