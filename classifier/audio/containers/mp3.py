"""The frames of an MP3 file (ISO 11172-3, 13818-3), as far as counting them takes; ID3 tags."""

from __future__ import annotations

import os
import re
import struct
from itertools import islice
from typing import NamedTuple

from classifier.audio.containers.integrity import Integrity, Patch
from classifier.errors import DecodingError

WINDOW_BYTES = 2**20  # read at once
MAX_FRAME_BYTES = 2**12  # more than any frame has, free format aside
MAX_FALSE_SYNCS = 1000  # heads without a run behind them, in what is no MP3 then
MAX_PADDING_BYTES = 2**20  # of zeros before the first frame
MAX_JUNK_BYTES = 2**16  # of anything else: a stream that is joined begins within a frame
RUN_FRAMES = 4  # fewer in a row are junk that looks like them, or a picture in a tag
TAG_BYTES = 128  # of an ID3v1 tag, at the end
XING_BITRATE_INDEX = 9  # of the table's: 128 kbit/s, 80 in versions 2 and 2.5
ID3_BYTES, MAX_TAGS, HAS_FOOTER = 10, 10, 0x10  # of ID3v2 tags, at the beginning
HAS_FRAMES = 1  # the flag of a Xing frame that names their number

_SYNC = re.compile(rb"\xff[\xe2-\xff][\x10-\xef]")
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
    layer: int
    is_version_1: bool
    is_mono: bool


def offset_after_tags(fd: int) -> int:
    """The first byte behind ID3v2 tags, which some programs put before other containers, too."""
    offset = 0
    for _ in range(MAX_TAGS):
        head = os.pread(fd, ID3_BYTES, offset)
        if len(head) < ID3_BYTES or not head.startswith(b"ID3"):
            break
        size = 0
        for byte in head[6:]:
            size = size << 7 | byte & 0x7F
        offset += ID3_BYTES + size + (ID3_BYTES if head[5] & HAS_FOOTER else 0)
    return offset


def begins_with_frame(start: bytes) -> bool:
    """Whether the header of a frame is there, behind padding; also one of free format."""
    return _frame(start.lstrip(b"\0"), 0, accepts_free=True) is not None


def holds_frames(fd: int) -> bool:
    """Whether frames follow each other behind padding or junk, as in a stream that was joined."""
    return _first_frame(fd) is not None


def examine_mpeg(fd: int) -> Integrity:
    """What is missing at the end, and the patches that tell a decoder how long it is.

    A Xing or Info frame promises a number of bytes. Without one, a last frame that is cut shows
    that something is missing; a file that was cut between two frames looks like a whole one. And
    without one libsndfile guesses the length from the first frames and the size of the file, tags
    and all: it ends a recording of varying bit rate far too early, and promises minutes that a
    picture in a tag does not hold. So it gets a Xing frame, with the number that we counted.
    """
    size_bytes = os.fstat(fd).st_size
    after_tags, begin = offset_after_tags(fd), _first_frame(fd)
    if begin is None:
        return Integrity()
    window = os.pread(fd, MAX_FRAME_BYTES, begin)
    frame = _frame(window, 0)
    if frame is None:
        return Integrity()
    oddity = None
    patches: tuple[Patch, ...] = ()
    if begin > after_tags:
        patches = (Patch(after_tags, begin - after_tags, b""),)
        if _end_of_padding(fd, after_tags) < begin:
            oddity = f"the first {begin - after_tags:,} bytes are no frame of MP3; passed over"
    declared = _declared_bytes(window, frame)
    if declared is None:
        n_frames, end = _count_frames(fd, begin)
        is_counted = frame.layer == 3 and n_frames >= RUN_FRAMES
        if is_counted and not _has_xing(window, frame):
            counted = _xing_frame(window[:4], frame, n_frames)
            patches = (Patch(after_tags, begin - after_tags, counted),)
        missing, reason = end - size_bytes, "cut short in the middle of a frame"
    elif _has_later_stream(fd, begin + declared):
        reason = (
            "several MP3 streams one behind the other, of which only the first would be heard; "
            "join them with a program that knows MP3, or convert them to FLAC"
        )
        return Integrity(DecodingError("unsupported", reason), patches)
    else:
        missing = begin + declared - size_bytes
        reason = f"cut short: it promises {declared:,} bytes, {size_bytes - begin:,} are there"
    if missing <= 0:
        return Integrity(patches=patches, oddity=oddity)
    reason = f"{reason}; copy it again from its source"
    return Integrity(DecodingError("truncated", reason), patches)


def mpeg_ends_as_promised(fd: int) -> bool:
    """Whether a Xing or Info frame promises an end, and only a tag follows it, or nothing."""
    begin = _first_frame(fd)
    if begin is None:
        return False
    window = os.pread(fd, MAX_FRAME_BYTES, begin)
    frame = _frame(window, 0)
    declared = None if frame is None else _declared_bytes(window, frame)
    if not declared:
        return False
    rest = os.fstat(fd).st_size - begin - declared
    return rest == 0 or (rest == TAG_BYTES and os.pread(fd, 3, begin + declared) == b"TAG")


def _first_frame(fd: int) -> int | None:
    """Behind tags and padding, or where a run begins behind junk; None where there is neither."""
    begin = _end_of_padding(fd, offset_after_tags(fd))
    window = os.pread(fd, MAX_JUNK_BYTES, begin)
    if _frame(window, 0, accepts_free=True) is not None:
        return begin
    syncs = islice(_SYNC.finditer(window), MAX_FALSE_SYNCS)
    return next((begin + m.start() for m in syncs if _is_run(fd, begin + m.start())), None)


def _is_run(fd: int, offset: int) -> bool:
    """Whether frames of one version, layer and sample rate follow each other from here on."""
    kinds = set()
    for _ in range(RUN_FRAMES):
        head = os.pread(fd, 4, offset)
        frame = _frame(head, 0)
        if frame is None:
            return False
        kinds.add((head[1] & 0xFE, head[2] & 0x0C))
        offset += frame.n_bytes
    return len(kinds) == 1


def _end_of_padding(fd: int, offset: int) -> int:
    end = offset + MAX_PADDING_BYTES
    while offset < end and (zeros := os.pread(fd, MAX_FRAME_BYTES, offset)):
        rest = zeros.lstrip(b"\0")
        offset += len(zeros) - len(rest)
        if rest:
            break
    return offset


def _frame(window: bytes, at: int, accepts_free: bool = False) -> _Frame | None:
    """The frame whose header is there; one of free format, whose length is not in it, if accepted.

    A header has 11 bits of sync, then no reserved version, layer, bit rate or sample rate.
    """
    head = window[at : at + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)  # version 3 is 1, 2 is 2, 0 is 2.5
    kbits_index, rate_index, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 4 or kbits_index == 15 or rate_index == 3:
        return None
    if kbits_index == 0 and not accepts_free:
        return None
    is_version_1, rate_hz = version == 3, _RATES_HZ[version][rate_index]
    bits_per_second = 1000 * _KBITS[1 if is_version_1 else 2, layer][kbits_index]
    if layer == 1:
        n_bytes = (12 * bits_per_second // rate_hz + padding) * 4
    else:
        n_samples = 576 if layer == 3 and not is_version_1 else 1152
        n_bytes = n_samples // 8 * bits_per_second // rate_hz + padding
    return _Frame(n_bytes, layer, is_version_1, is_mono=head[3] >> 6 == 3)


def _xing_offset(frame: _Frame) -> int:
    """Where it stands in its frame, behind the side information."""
    side_bytes = {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}
    return 4 + side_bytes[frame.is_version_1, frame.is_mono]


def _has_xing(window: bytes, frame: _Frame) -> bool:
    at = _xing_offset(frame)
    return window[at : at + 4] in (b"Xing", b"Info") and len(window) >= at + 16


def _has_later_stream(fd: int, offset: int) -> bool:
    """Whether from here on, behind tags or not, there is another frame that makes a promise."""
    for _ in range(MAX_FALSE_SYNCS):
        sync = _next_sync(fd, offset)
        if sync is None:
            return False
        window = os.pread(fd, MAX_FRAME_BYTES, sync)
        frame = _frame(window, 0)
        if frame is not None and _has_xing(window, frame):
            return True
        offset = sync + 1
    return False


def _declared_bytes(window: bytes, frame: _Frame) -> int | None:
    """What a Xing or Info frame promises of bytes, from itself on."""
    if not _has_xing(window, frame):
        return None
    at = _xing_offset(frame)
    has_frames, has_bytes = window[at + 7] & 1, window[at + 7] & 2
    field = at + 8 + 4 * has_frames
    return int.from_bytes(window[field : field + 4], "big") if has_bytes else None


def _xing_frame(head: bytes, first: _Frame, n_frames: int) -> bytes:
    """A frame like the first one, of a middling bit rate and without a checksum."""
    head = bytes([head[0], head[1] | 1, XING_BITRATE_INDEX << 4 | head[2] & 0x0C, head[3]])
    frame = _frame(head, 0)
    assert frame is not None
    tag = struct.pack(">4sII", b"Xing", HAS_FRAMES, min(n_frames, 2**32 - 1))
    return (head.ljust(_xing_offset(first), b"\0") + tag).ljust(frame.n_bytes, b"\0")


def _count_frames(fd: int, begin: int) -> tuple[int, int]:
    """How many there are, and the byte behind the last one; over gaps, such as a tag between."""
    n_frames, end = _count_run(fd, begin)
    n_false_syncs, sync = 0, _next_sync(fd, end)
    while sync is not None and n_false_syncs < MAX_FALSE_SYNCS:
        n_in_run, run_end = _count_run(fd, sync)
        if n_in_run >= RUN_FRAMES:
            n_frames, end = n_frames + n_in_run, run_end
            sync = _next_sync(fd, end)
        else:
            n_false_syncs += 1
            sync = _next_sync(fd, sync + 1)
    return n_frames, end


def _count_run(fd: int, begin: int) -> tuple[int, int]:
    """The frames that follow each other from here without a gap, and the byte behind the last."""
    n_frames, offset, window, window_begin = 0, begin, b"", begin
    while True:
        at = offset - window_begin
        if len(window) - at < 4:
            window, window_begin, at = os.pread(fd, WINDOW_BYTES, offset), offset, 0
        frame = _frame(window, at)
        if frame is None:
            return n_frames, offset
        offset += frame.n_bytes
        n_frames += 1


def _next_sync(fd: int, offset: int) -> int | None:
    """The next byte where the header of a frame may stand."""
    while len(window := os.pread(fd, WINDOW_BYTES, offset)) >= 4:
        for match in _SYNC.finditer(window):
            if _frame(window, match.start()) is not None:
                return offset + match.start()
        offset += len(window) - 3
    return None
