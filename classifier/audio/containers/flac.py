"""The end of a FLAC file (RFC 9639): does it lie where the header says, and does nothing follow?

The header promises a number of samples, not of bytes; each frame says where its samples begin, and
ends with a checksum.
"""

from __future__ import annotations

import os
import re
from itertools import islice
from typing import NamedTuple

from classifier.audio.containers.integrity import Integrity, Patch, several_files
from classifier.audio.containers.mp3 import offset_after_tags

MAGIC = b"fLaC"
HEAD_BYTES = 42  # of the mark, a block's head, and the stream's description in it
MAX_FRAME_HEAD_BYTES = 16
MAX_FRAME_BYTES = 2**16  # looked through for the last frame; they have 5 to 20 kB
MAX_HEADS = 1000  # of bytes that look like one; by chance two or three do
MAX_CHECKS = 16  # of bytes that look like the head of the last frame
WINDOW_BYTES = 2**20  # read at once
LENGTH_AT, LENGTH_BYTES = 21, 5  # the number of samples, behind four bits of something else

_BEGINNING = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")  # the mark, and a block of 34 bytes
_SYNC = re.compile(rb"\xff[\xf8\xf9]")

_SIZES = {1: 192, **{code: 576 << code - 2 for code in range(2, 6)}} | {
    code: 256 << code - 8 for code in range(8, 16)
}
_SIZE_IN_8_BITS, _SIZE_IN_16_BITS = 6, 7


def _crc_16_table() -> tuple[int, ...]:
    remainders = []
    for byte in range(256):
        remainder = byte << 8
        for _ in range(8):
            remainder = (remainder << 1 ^ (0x8005 if remainder >> 15 else 0)) & 0xFFFF
        remainders.append(remainder)
    return tuple(remainders)


_CRC_16 = _crc_16_table()


class _StreamInfo(NamedTuple):
    n_samples: int
    block_size: int
    longest_frame: int  # bytes; 0 where the writer did not say


def has_variable_blocks(start: bytes) -> bool:
    """Whether its frames are of several sizes, which libsndfile does not read; by its head."""
    return len(start) >= HEAD_BYTES and start[8:10] != start[10:12]


def examine_flac(fd: int) -> Integrity:
    """Another file behind the first, and a promise of twice the samples that there are."""
    begin = offset_after_tags(fd)
    later = _later_file(fd, begin + len(MAGIC))
    if later is not None:
        rest = Patch(later, os.fstat(fd).st_size - later, b"")
        return Integrity(several_files("FLAC"), (rest,))
    head = os.pread(fd, HEAD_BYTES, begin)
    stream = _stream_info(head)
    if stream is None or not _ends_at(fd, stream, stream.n_samples / 2):
        return Integrity()
    halved = bytes([head[LENGTH_AT] & 0xF0 | stream.n_samples // 2 >> 32])
    halved += (stream.n_samples // 2 & 2**32 - 1).to_bytes(4, "big")
    return Integrity(
        patches=(Patch(begin + LENGTH_AT, LENGTH_BYTES, halved),),
        oddity=f"its header promises {stream.n_samples:,} samples, just twice what its frames "
        "hold, a fault of some recorders; nothing is missing",
    )


def ends_with_last_frame(fd: int) -> bool:
    """Whether the file ends with a valid frame, and that one with the last promised sample."""
    stream = _stream_info(os.pread(fd, HEAD_BYTES, 0))
    return stream is not None and _ends_at(fd, stream, stream.n_samples)


def _ends_at(fd: int, stream: _StreamInfo, sample: float) -> bool:
    """Whether the file ends with a valid frame, and that one at this sample."""
    longest = min(stream.longest_frame or MAX_FRAME_BYTES, MAX_FRAME_BYTES)
    begin = max(HEAD_BYTES, os.fstat(fd).st_size - longest)
    window = os.pread(fd, MAX_FRAME_BYTES, begin)
    if window.endswith(b"\0\0"):  # which no checksum of this kind notices
        return False
    heads = [match.start() for match in islice(_SYNC.finditer(window), MAX_HEADS)]
    ends = {at: _end_sample(window[at : at + MAX_FRAME_HEAD_BYTES], stream) for at in heads}
    if sample not in ends.values():  # as in nearly all files: a checksum takes 0.7 ms
        return False
    # From the last one on: of several frames in a row the checksum is that of one as well.
    possible = (at for at in reversed(heads) if ends[at] is not None)
    last = next((at for at in islice(possible, MAX_CHECKS) if _crc_16(window[at:]) == 0), None)
    return last is not None and ends[last] == sample


def _later_file(fd: int, offset: int) -> int | None:
    """Where another one begins; eight bytes like these come by chance once in 10^19."""
    while len(window := os.pread(fd, WINDOW_BYTES, offset)) >= len(MAGIC) + 4:
        if match := _BEGINNING.search(window):
            return offset + match.start()
        offset += len(window) - len(MAGIC) - 3
    return None


def _stream_info(head: bytes) -> _StreamInfo | None:
    """None where an encoder has not filled it in, which is the last thing that it does."""
    if len(head) < HEAD_BYTES or not head.startswith(MAGIC) or head[4] & 0x7F:
        return None
    n_samples = int.from_bytes(head[21:26], "big") & 2**36 - 1
    longest = int.from_bytes(head[15:18], "big")
    return _StreamInfo(n_samples, int.from_bytes(head[8:10], "big"), longest) if n_samples else None


def _end_sample(head: bytes, stream: _StreamInfo) -> int | None:
    """Up to where the frame goes whose head this is; None if it is none.

    The head's own checksum is left aside: that of the frame is of its head as well.
    """
    if len(head) < 6:
        return None
    number, at = _number(head)
    size = _size(head, head[2] >> 4, at)
    if size is None or number is None:
        return None
    is_variable = head[1] & 1
    return (number if is_variable else number * stream.block_size) + size


def _number(head: bytes) -> tuple[int | None, int]:
    """Of the frame, or of its first sample, written as in UTF-8; and the byte behind it."""
    first = head[4]
    if first < 0x80:
        return first, 5
    n_more = 7 - (first ^ 0xFF).bit_length()  # as many ones lead, less one
    if not 1 <= n_more <= 6 or len(head) < 5 + n_more:
        return None, 5
    number = first & (1 << 6 - n_more) - 1
    for byte in head[5 : 5 + n_more]:
        number = number << 6 | byte & 0x3F
    return number, 5 + n_more


def _size(head: bytes, code: int, at: int) -> int | None:
    if code in (_SIZE_IN_8_BITS, _SIZE_IN_16_BITS):
        n_bytes = 1 if code == _SIZE_IN_8_BITS else 2
        return int.from_bytes(head[at : at + n_bytes], "big") + 1
    return _SIZES.get(code)


def _crc_16(content: bytes) -> int:
    """Of a frame with its own checksum at the end it is 0."""
    remainder = 0
    for byte in content:
        remainder = (remainder << 8 & 0xFFFF) ^ _CRC_16[remainder >> 8 ^ byte]
    return remainder
