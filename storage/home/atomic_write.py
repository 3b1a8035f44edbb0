"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from storage.errors import WRITABLE_PLACE, StorageError, os_errors_as
from storage.home.safe_open import create_plain

MAX_LINKS = 40  # as the kernel has it
ASIDE = re.compile(r"\.(?P<name>.+)\.(?P<pid>[1-9][0-9]{0,8})\.new", re.DOTALL)
LEFTOVER_SECONDS = 3600.0  # longer than anything takes between two writes into what it prepares


def write_whole(path: Path, data: bytes, mode: int | None = None) -> None:
    """Writes aside, flushes and renames: what had this name before is replaced in one step.

    `mode` is that of the file; without one the umask decides. A reader sees the old file or the
    new one, also after a power cut. Raises StorageError where it cannot be written.
    """
    remedy = "check the folder and the space on its disk"
    with os_errors_as(StorageError, f"cannot write {path}", remedy):
        with aside_of(path) as handle:
            if mode is not None:
                os.fchmod(handle, mode)
            with open(handle, "wb", closefd=False) as file:
                file.write(data)
            os.fsync(handle)
        flush_folder(path.parent)


def write_output(path: Path, data: bytes) -> None:
    """Writes all of it to `output_file`."""
    with output_file(path) as handle, open(handle, "wb", closefd=False) as file:
        file.write(data)


@contextmanager
def output_file(path: Path) -> Iterator[int]:
    """A descriptor for a file that a person named; the file appears when the body has ended well.

    A link is followed: its target is written. Into a device, a pipe or `/dev/stdout` is written
    as it is: to replace it would take it from everybody. Raises StorageError where it cannot be
    written.
    """
    with os_errors_as(StorageError, f"cannot write {path}", WRITABLE_PLACE):
        target = _target_of(path)
        if not _is_descriptor(target) and (target.is_file() or not target.exists()):
            with aside_of(target) as handle:
                yield handle
            return
        handle = _opened(target)
        try:
            yield handle
        finally:
            os.close(handle)


def _target_of(path: Path) -> Path:
    """Where links lead to, up to a descriptor of a process, which may be of a file without name."""
    for _ in range(MAX_LINKS):
        path = Path(os.path.realpath(path.parent), path.name)
        if not path.is_symlink() or _is_descriptor(path):
            return path
        path = path.parent / os.readlink(path)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _is_descriptor(path: Path) -> bool:
    return path.parts[:2] == ("/", "proc") and path.parent.name == "fd"


def _opened(target: Path) -> int:
    if target.parent.samefile("/proc/self/fd"):
        return os.dup(int(target.name))  # goes on where others left off in it
    return os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)


@contextmanager
def aside_of(path: Path) -> Iterator[int]:
    """A new file, not flushed, that takes the name `path` when the body has ended well."""
    aside = aside_path(path)
    remove_leftovers(path.parent, path.name)
    try:
        handle = create_plain(aside)
        try:
            yield handle
        finally:
            os.close(handle)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def aside_path(path: Path) -> Path:
    """Where this process prepares what will have the name `path`."""
    return path.with_name(f".{path.name}.{os.getpid()}.new")


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Removes what processes that were killed had prepared, for this name or for all.

    Only after an hour: which processes live is known of this machine and container alone.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = ASIDE.fullmatch(entry.name)
            if found is None or name not in (None, found["name"]) or _is_alive(int(found["pid"])):
                continue
            with suppress(OSError):  # gone meanwhile, or somebody else's
                if time.time() - entry.stat(follow_symlinks=False).st_mtime < LEFTOVER_SECONDS:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def flush_folder(folder: Path) -> None:
    """Makes names that came or went in it outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
