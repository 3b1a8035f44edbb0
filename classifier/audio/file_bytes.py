"""The bytes of an open file; those of a short one are read once, for all that look at them."""

from __future__ import annotations

import hashlib
import os

SHORT_BYTES = 8 * 2**20  # a recording of 90 s at 44.1 kHz and 16 bits; kept by one worker, once


class FileBytes:
    """An open file of `size_bytes`. Its file descriptor stays open, and where it stands."""

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
        """SHA-256 of all of it. What a short file held then is what `read` gives from now on."""
        if self.size_bytes <= SHORT_BYTES:
            whole = os.pread(self.fd, self.size_bytes + 1, 0)
            if len(whole) == self.size_bytes:
                self._whole = whole
                return hashlib.sha256(whole).hexdigest()
        with os.fdopen(os.dup(self.fd), "rb", buffering=0) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.lseek(self.fd, 0, os.SEEK_SET)
        return digest
