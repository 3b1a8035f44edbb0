"""A rename that never overwrites. Python's own `os.rename` replaces what lies at the target."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os

from daemon.archive.folder_entry import FolderEntry

_RENAME_NOREPLACE = 1
_NOT_SUPPORTED = (errno.ENOSYS, errno.EINVAL)  # by this kernel, by this file system (NFS, 9p)
# Not os.link and os.unlink: a file that belongs to somebody else may be renamed by who may write
# to its folder, but not be linked (fs.protected_hardlinks).
_renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


def rename_no_replace(source: FolderEntry, target: FolderEntry) -> None:
    """One step, and all or nothing, within one file system.

    Raises FileExistsError where anything lies at the target, and OSError like `os.rename`.
    """
    if _renameat2 is None:
        _reserve_and_rename(source, target)
        return
    there, here = (source.folder, source.name), (target.folder, target.name)
    if _renameat2(*there, *here, _RENAME_NOREPLACE) == 0:
        return
    error = ctypes.get_errno()
    if error not in _NOT_SUPPORTED:
        raise OSError(error, os.strerror(error), source.path, None, target.path)
    _reserve_and_rename(source, target)


def _reserve_and_rename(source: FolderEntry, target: FolderEntry) -> None:
    """An empty file takes the name first. A kill in between leaves it, and costs only the name."""
    os.close(target.open(os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    try:
        os.rename(source.name, target.name, src_dir_fd=source.folder, dst_dir_fd=target.folder)
    except OSError:
        with contextlib.suppress(OSError):
            target.unlink()
        raise
