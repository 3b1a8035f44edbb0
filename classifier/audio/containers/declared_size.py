"""Containers that name the size of their samples, or of the file: Matroska, ASF, CAF and AU."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable

from classifier.audio.containers.integrity import Integrity, several_files
from classifier.errors import DecodingError

EBML, ASF = b"\x1aE\xdf\xa3", bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_SEGMENT = b"\x18\x53\x80\x67"
ASF_FILE, _ASF_DATA = (
    bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"),
    bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c"),
)
_ASF_HEAD = struct.Struct("<16sQ")
_CAF_HEAD = struct.Struct(">4sq")
_AU_HEAD = struct.Struct(">4xII")
UNKNOWN_SIZE = 0xFFFFFFFF
MAX_OBJECTS = 1000
BROADCAST = 1  # a flag: the length was not known yet

End = Callable[[int], int | None]


def examine_by(promised_end: End, kind: str) -> Callable[[int], Integrity]:
    """`promised_end` gives the byte at which the samples end, or None where nothing says so."""

    def examine(fd: int) -> Integrity:
        end, size_bytes = promised_end(fd), os.fstat(fd).st_size
        if end is None:
            return Integrity()
        if end <= size_bytes:
            is_followed = _read(fd, 4, end) == _read(fd, 4, 0)
            return Integrity(several_files(kind) if is_followed else None)
        reason = (
            f"cut short: its header promises {end:,} bytes, {size_bytes:,} are there; "
            "copy it again from its source"
        )
        return Integrity(DecodingError("truncated", reason))

    return examine


def ends_by(promised_end: End) -> Callable[[int], bool]:
    return lambda fd: promised_end(fd) == os.fstat(fd).st_size


def matroska_end(fd: int) -> int | None:
    """Of its one segment; a browser that records, or a stream, does not know it."""
    start = _read(fd, 256, 0)
    header = _ebml_size(start, len(EBML))
    if header is None:
        return None
    at = header[1] + header[0]
    if start[at : at + 4] != _SEGMENT:
        return None
    segment = _ebml_size(start, at + 4)
    return None if segment is None else segment[1] + segment[0]


def asf_end(fd: int) -> int | None:
    """Of the object that holds the samples; what follows is an index."""
    head = _read(fd, 30, 0)
    if len(head) < 30:
        return None
    offset, end = 30, int(_ASF_HEAD.unpack_from(head)[1])
    for _ in range(MAX_OBJECTS):
        fields = _read(fd, 104, offset)
        if len(fields) < _ASF_HEAD.size or offset >= end:
            break
        name, size = _ASF_HEAD.unpack_from(fields)
        if name == ASF_FILE and len(fields) >= 92 and fields[88] & BROADCAST:
            return None
        offset += max(size, _ASF_HEAD.size)
    data = _read(fd, _ASF_HEAD.size, end)
    if len(data) < _ASF_HEAD.size or data[:16] != _ASF_DATA:
        return None
    size = int(_ASF_HEAD.unpack(data)[1])
    return end + size if size > _ASF_HEAD.size else None


def caf_end(fd: int) -> int | None:
    offset = 8
    for _ in range(MAX_OBJECTS):
        head = _read(fd, _CAF_HEAD.size, offset)
        if len(head) < _CAF_HEAD.size:
            return None
        name, size = _CAF_HEAD.unpack(head)
        offset += _CAF_HEAD.size + int(size)
        if size < 0:  # it goes up to the end
            return None
        if name == b"data":
            return offset
    return None


def au_end(fd: int) -> int | None:
    head = _read(fd, _AU_HEAD.size, 0)
    if len(head) < _AU_HEAD.size:
        return None
    begin, size = _AU_HEAD.unpack(head)
    return None if size == UNKNOWN_SIZE else int(begin + size)


def _ebml_size(content: bytes, at: int) -> tuple[int, int] | None:
    """A size as EBML writes it, and where it ends; None where it is unknown, or there is none."""
    if at >= len(content) or content[at] == 0:
        return None
    width = 9 - content[at].bit_length()
    number = int.from_bytes(content[at : at + width], "big") & (1 << 7 * width) - 1
    if number == (1 << 7 * width) - 1 or at + width > len(content):
        return None
    return number, at + width


def _read(fd: int, n_bytes: int, offset: int) -> bytes:
    """None behind the end: an offset that was made up may be larger than any that can be read."""
    return os.pread(fd, n_bytes, offset) if 0 <= offset < os.fstat(fd).st_size else b""
