"""The last frame of a FLAC file (RFC 9639): is it the one with which the recording ends?

The header promises a number of samples, not of bytes; each frame says where its samples begin, and
ends with a checksum.
"""

from __future__ import annotations

import os
import re
from itertools import islice
from typing import NamedTuple

MAGIC = b"fLaC"
HEAD_BYTES = 42  # of the mark, a block's head, and the stream's description in it
MAX_FRAME_HEAD_BYTES = 16
MAX_FRAME_BYTES = 2**16  # looked through for the last frame; they have 5 to 20 kB
MAX_HEADS = 1000  # of bytes that look like one; by chance two or three do
MAX_CHECKS = 4  # of bytes that look like the head of the last frame

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


def ends_with_last_frame(fd: int) -> bool:
    """Whether the file ends with a valid frame, and that one with the last promised sample."""
    stream = _stream_info(os.pread(fd, HEAD_BYTES, 0))
    if stream is None:
        return False
    longest = min(stream.longest_frame or MAX_FRAME_BYTES, MAX_FRAME_BYTES)
    begin = max(HEAD_BYTES, os.fstat(fd).st_size - longest)
    window = os.pread(fd, MAX_FRAME_BYTES, begin)
    heads = (match.start() for match in islice(_SYNC.finditer(window), MAX_HEADS))
    last = (
        at
        for at in heads
        if _end_sample(window[at : at + MAX_FRAME_HEAD_BYTES], stream) == stream.n_samples
    )
    is_padded = window.endswith(b"\0\0")  # which no checksum of this kind notices
    return not is_padded and any(_crc_16(window[at:]) == 0 for at in islice(last, MAX_CHECKS))


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
