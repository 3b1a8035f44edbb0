"""The frames of an MP3 file (ISO 11172-3, 13818-3), as far as it takes to see where they end."""

from __future__ import annotations

import os
from typing import NamedTuple

from classifier.errors import DecodingError
from classifier.id3 import behind_tags

WINDOW_BYTES = 2**20  # read at once
MAX_FRAME_BYTES = 2**12  # more than any frame has, free format aside

_KBITS = {  # by version 1 and layer, then by versions 2 and 2.5
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8000)}


class _Frame(NamedTuple):
    n_bytes: int
    is_version_1: bool
    is_mono: bool


def find_mpeg_damage(fd: int) -> DecodingError | None:
    """None where the file is whole, or where nothing in it could tell.

    A Xing or Info frame promises a number of bytes. Without one, a last frame that is cut shows
    that something is missing; a file that was cut between two frames looks like a whole one.
    """
    size_bytes = os.fstat(fd).st_size
    begin = _behind_zeros(fd, behind_tags(fd))
    window = os.pread(fd, MAX_FRAME_BYTES, begin)
    frame = _frame(window, 0)
    if frame is None:
        return None
    promised = _promised_bytes(window, frame)
    if promised is None:
        missing = _last_frame_end(fd, begin) - size_bytes
        reason = "cut short in the middle of a frame"
    else:
        missing = begin + promised - size_bytes
        reason = f"cut short: it promises {promised:,} bytes, {size_bytes - begin:,} are there"
    if missing <= 0:
        return None
    return DecodingError("truncated", f"{reason}; copy it again from its source")


def _behind_zeros(fd: int, offset: int) -> int:
    zeros = os.pread(fd, MAX_FRAME_BYTES, offset)
    return offset + len(zeros) - len(zeros.lstrip(b"\0"))


def _frame(window: bytes, at: int) -> _Frame | None:
    """The frame whose header is there; none of free format, which tells no length."""
    head = window[at : at + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    kbits_index, rate_index = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or kbits_index in (0, 15) or rate_index == 3:
        return None
    is_version_1 = version == 3
    bits_per_second = 1000 * _KBITS[1 if is_version_1 else 2, layer][kbits_index]
    rate_hz, padding = _RATES_HZ[version][rate_index], head[2] >> 1 & 1
    if layer == 1:
        n_bytes = (12 * bits_per_second // rate_hz + padding) * 4
    else:
        n_samples = 576 if layer == 3 and not is_version_1 else 1152
        n_bytes = n_samples // 8 * bits_per_second // rate_hz + padding
    return _Frame(n_bytes, is_version_1, is_mono=head[3] >> 6 == 3)


def _promised_bytes(window: bytes, frame: _Frame) -> int | None:
    """What a Xing or Info frame says of the bytes from itself on."""
    side_bytes = {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}
    at = 4 + side_bytes[frame.is_version_1, frame.is_mono]
    if window[at : at + 4] not in (b"Xing", b"Info") or len(window) < at + 16:
        return None
    has_frames, has_bytes = window[at + 7] & 1, window[at + 7] & 2
    field = at + 8 + 4 * has_frames
    return int.from_bytes(window[field : field + 4], "big") if has_bytes else None


def _last_frame_end(fd: int, begin: int) -> int:
    """The byte behind the last of the frames that follow each other without a gap."""
    offset, window, window_begin = begin, b"", begin
    while True:
        at = offset - window_begin
        if len(window) - at < 4:
            window, window_begin, at = os.pread(fd, WINDOW_BYTES, offset), offset, 0
        frame = _frame(window, at)
        if frame is None:
            return offset
        offset += frame.n_bytes
