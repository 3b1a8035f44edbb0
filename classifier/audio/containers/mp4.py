"""The boxes of an MP4 file (ISO 14496-12; also M4A, MOV and 3GP): are they all there?

Recorders write samples first and the box that says where they lie (`moov`) last; without it nothing
can be decoded.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from classifier.audio.containers.integrity import Integrity, several_files
from classifier.errors import DecodingError

MAX_BOXES = 100_000  # a fragmented file of 48 hours has two for every second or two
_FIRST = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_HEAD = struct.Struct(">I4s")
_LONG_SIZE = struct.Struct(">Q")


class _Box(NamedTuple):
    name: bytes
    begin: int
    end: int


def begins_with_box(start: bytes) -> bool:
    return start[4:8] in _FIRST


def examine_boxes(fd: int) -> Integrity:
    size_bytes, names = os.fstat(fd).st_size, []
    for box in _boxes(fd):
        if box.end > size_bytes:
            reason = (
                f"cut short: a box of its header promises {box.end - box.begin:,} bytes, "
                f"{size_bytes - box.begin:,} are there; copy it again from its source"
            )
            return Integrity(DecodingError("truncated", reason))
        names.append(box.name)
    if names.count(b"moov") > 1 and b"moof" not in names:  # FFmpeg passes over all but the first
        return Integrity(several_files("MP4"))
    if b"moov" in names:
        return Integrity()
    return Integrity(
        DecodingError(
            "truncated",
            "cut short: the index of its samples (moov) is missing; what recorded it was stopped "
            "before the end, else copy it again from its source",
        )
    )


def boxes_end_as_promised(fd: int) -> bool:
    """Whether boxes fill the file, and the samples and the box that tells of them are there.

    What is written in parts (`moof`) ends with an index of them.
    """
    names, end = set(), 0
    for box in _boxes(fd):
        names.add(box.name)
        end = box.end
    needed = {b"moov", b"mdat"} | ({b"mfra"} if b"moof" in names else set())
    return end == os.fstat(fd).st_size and needed <= names


def _boxes(fd: int) -> Iterator[_Box]:
    """From the beginning up to the end, or to where no box follows."""
    offset, size_bytes = 0, os.fstat(fd).st_size
    for _ in range(MAX_BOXES):
        head = os.pread(fd, _HEAD.size + _LONG_SIZE.size, offset)
        if len(head) < _HEAD.size:
            return
        size, name = _HEAD.unpack_from(head)
        if not all(0x20 <= letter < 0x7F or letter == 0xA9 for letter in name):
            return
        if size == 1 and len(head) == _HEAD.size + _LONG_SIZE.size:
            size = _LONG_SIZE.unpack_from(head, _HEAD.size)[0]
        elif size == 0:  # up to the end
            size = size_bytes - offset
        if size < _HEAD.size:
            return
        yield _Box(name, offset, offset + size)
        offset += size
        if offset >= size_bytes:
            return
