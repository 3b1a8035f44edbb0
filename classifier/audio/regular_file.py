"""An open regular file: which version of it this is, its bytes, and their SHA-256."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from classifier.errors import DecodingError, machine_error

FINE_NS = 1_000_000  # finer times are such round numbers by chance only
LACKS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN, errno.ENOSPC}
MAX_STRETCHES = 1_000_000  # of data between holes; to count them takes 2 s
SHORT_BYTES = 8 * 2**20  # a recording of 90 s at 44.1 kHz and 16 bits; kept by one worker, once
Opener = Callable[[bytes, int], int]  # from path and flags to a descriptor, as `os.open`
NOT_A_FILE = "not a regular file; clfd reads regular files only, and follows no links"


def fingerprint(stat: os.stat_result) -> str:
    """Device, inode, size, mtime_ns and ctime_ns: whether this is still the same file.

    Text, because inode numbers may pass 2**63. The change time is part of it since a restored
    modification time hides an edit.
    """
    return f"{stat.st_dev}:{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"


class FileVersion(NamedTuple):
    """What a fingerprint says; times are nanoseconds since 1970."""

    device: int
    inode: int
    size_bytes: int
    written_ns: int
    changed_ns: int


def file_version(fingerprint: str) -> FileVersion:
    numbers = [*map(int, fingerprint.split(":"))]
    if len(numbers) == 2:  # a shared one
        size_bytes, written_ns = numbers
        return FileVersion(0, 0, size_bytes, written_ns, written_ns)
    return FileVersion(*numbers)


def shared_fingerprint(fingerprint: str) -> str:
    """Size and mtime_ns alone, which every machine that mounts a share says of a file."""
    version = file_version(fingerprint)
    return f"{version.size_bytes}:{version.written_ns}"


def is_version(expected: str | None, found: str) -> bool:
    """Whether a file with the fingerprint `found` is the expected one; None: any is.

    What is expected may be a shared fingerprint.
    """
    return expected in (None, found) or expected == shared_fingerprint(found)


def has_coarse_times(stat: os.stat_result) -> bool:
    """Whether its file system may count in steps so long that two writes look like one.

    FAT counts in steps of 2 s, ext3 of 1 s, exFAT of 10 ms.
    """
    return stat.st_ctime_ns % FINE_NS == 0


@contextmanager
def regular_file(path: bytes, opener: Opener = os.open) -> Iterator[tuple[int, os.stat_result]]:
    """Opens without following a link at `path` and without blocking on a pipe.

    Raises DecodingError where there is no regular file, or it may not be read.
    """
    try:
        fd = opener(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise DecodingError("vanished", "the file was gone before it could be read") from error
    except PermissionError as error:
        raise DecodingError(
            "unreadable", "no permission to read the file; change its mode or owner, then retry"
        ) from error
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link, a socket
            raise DecodingError("not_a_file", NOT_A_FILE) from error
        raise read_error(error) from error
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise DecodingError("not_a_file", NOT_A_FILE)
        yield fd, status
    finally:
        os.close(fd)


def read_error(error: OSError) -> DecodingError:
    """What it says of the disk or the mount; or of this machine, and then of no file."""
    if error.errno in LACKS:
        return machine_error(f"files cannot be opened or read: {error.strerror}")
    reason = f"the file cannot be read ({error.strerror}); check the disk or the mount, then retry"
    return DecodingError("io", reason, transient=True)


def stored_bytes(fd: int, size_bytes: int) -> int:
    """How many of its bytes are in no hole; all of them where its file system does not tell.

    Holes, which read as zeros, are what was never written. (`st_blocks` is 0 on some mounts, and
    counts compressed bytes on others.) The file is at its beginning afterwards. Raises OSError.
    """
    stored, offset = 0, 0
    try:
        for _ in range(MAX_STRETCHES):
            begin = os.lseek(fd, offset, os.SEEK_DATA)
            offset = os.lseek(fd, begin, os.SEEK_HOLE)
            stored += offset - begin
    except OSError as error:
        if error.errno != errno.ENXIO:  # there is no data any more
            return size_bytes
    finally:
        os.lseek(fd, 0, os.SEEK_SET)
    return stored


class FileBytes:
    """The bytes of an open file of `size_bytes`; those of a short one are read once.

    Its file descriptor stays open, and where it stands.
    """

    def __init__(self, fd: int, size_bytes: int) -> None:
        self.fd = fd
        self.size_bytes = size_bytes
        self._whole: bytes | None = None

    def read(self, n_bytes: int, offset: int) -> bytes | memoryview:
        """`n_bytes` from `offset` on; fewer where the file ends."""
        if self._whole is None:
            return os.pread(self.fd, n_bytes, offset)
        return memoryview(self._whole)[offset : offset + n_bytes]

    def digest(self) -> str:
        """SHA-256 of all of it. What a short file held then is what `read` gives from now on.

        Raises DecodingError where the file cannot be read.
        """
        try:
            if self.size_bytes <= SHORT_BYTES:
                whole = os.pread(self.fd, self.size_bytes + 1, 0)
                if len(whole) == self.size_bytes:
                    self._whole = whole
                    return hashlib.sha256(whole).hexdigest()
            with os.fdopen(os.dup(self.fd), "rb", buffering=0) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.lseek(self.fd, 0, os.SEEK_SET)
            return digest
        except OSError as error:
            raise read_error(error) from error
