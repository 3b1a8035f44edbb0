"""Tables that people hand in, as lines of text: read bit by bit, within bounds, and hashed."""

from __future__ import annotations

import codecs
import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from storage.home.safe_open import open_readable, too_large

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# Programs write rows of some hundred characters, and ten million rows have to be read; what goes
# on beyond (a disk image, the holes of a sparse file, a pipe without end) is no table.
MAX_LINE_CHARACTERS = 2**20
MAX_LINES = 2**24


@dataclass(frozen=True)
class TableText:
    """`lines` keep their ends; once they are read, `digest` is the SHA-256 of the whole file."""

    lines: Iterator[str]
    _source: _HashedFile

    @property
    def digest(self) -> str:
        return self._source.sha256.hexdigest()


@contextmanager
def open_table(path: Path) -> Iterator[TableText]:
    """A file, or a pipe, that a person named.

    Opening and `lines` raise OSError, also where it goes on for too long; `lines` raise
    UnicodeDecodeError where it is no UTF-8.
    """
    source = _HashedFile(open_readable(path, allow_pipe=True))
    buffered = io.BufferedReader(source)
    is_wide = buffered.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    # Excel begins its UTF-8 with a byte order mark.
    with io.TextIOWrapper(buffered, "utf-16" if is_wide else "utf-8-sig", newline="") as text:
        yield TableText(_lines(text), source)


class _HashedFile(io.RawIOBase):
    def __init__(self, handle: int) -> None:
        self._handle = handle
        self.sha256 = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        n_read = os.readv(self._handle, [buffer])
        self.sha256.update(memoryview(buffer)[:n_read])
        return n_read

    def close(self) -> None:
        if not self.closed:
            os.close(self._handle)
        super().close()


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    number = 0
    while line := text.readline(MAX_LINE_CHARACTERS + 1):
        number += 1
        if len(line) > MAX_LINE_CHARACTERS:
            raise too_large(f"{MAX_LINE_CHARACTERS} characters in line {number}")
        if number > MAX_LINES:
            raise too_large(f"{MAX_LINES} lines")
        if number == 1 and "\0" in line:  # UTF-16 without a byte order mark, UTF-32
            raise UnicodeDecodeError("utf-8", b"\0", 0, 1, "no text holds a zero")
        yield line
