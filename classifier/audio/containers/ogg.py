"""The pages of an Ogg file (RFC 3533): are they all there, and as they were written?

Decoders pass over a page that is missing or broken, and libsndfile over all that follows a first
stream.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from classifier.audio.containers.integrity import Integrity
from classifier.errors import DecodingError

CAPTURE = b"OggS"
HEAD = struct.Struct("<4sBBqIIIB")
CONTINUES, BEGINS, ENDS = 0x01, 0x02, 0x04  # goes on with a packet; first, last of a stream
MAX_PAGE_BYTES = HEAD.size + 255 + 255 * 255
WINDOW_BYTES = 2**20  # read at once
# Every page has to be read: 0.3 ms for a clip of 5 s, 5 ms for so much.
MAX_CHECKED_BYTES = 2**20
MANY_PAGES = 2000  # of 4 kB each, as encoders make them, these are 8 MB
MAX_FALSE_SYNCS = 200  # heads without a page behind them, in what is called junk then
OPUS_MARK = b"OpusHead"
AUDIO_MARKS = (b"\x01vorbis", OPUS_MARK, b"\x7fFLAC", b"Speex   ")
ADVICE = "copy it again from its source"
OPUS_HZ = 48_000  # of its granules, whatever the sound was recorded with
_OPUS_FRAME_MS = (  # by configuration (RFC 6716, 3.1)
    *(10, 20, 40, 60) * 3,
    *(10, 20) * 2,
    *(2.5, 5, 10, 20) * 4,
)

_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class Page(NamedTuple):
    offset: int
    end: int
    flags: int
    granule: int  # frames up to its end; negative where no packet ends in it
    serial: int
    number: int
    is_audio: bool  # it begins a stream of audio
    is_opus: bool
    is_intact: bool  # its checksum is right


@dataclass
class _Stream:
    next_number: int
    is_audio: bool
    is_opus: bool
    has_frames: bool = False
    has_ended: bool = False
    granule: int = 0
    uncounted: int = 0  # samples of Opus that its pages hold and do not count


def examine_ogg(fd: int) -> Integrity:
    streams: dict[int, _Stream] = {}
    damage = _damage(fd, streams)
    is_chain = sum(stream.is_audio and stream.has_frames for stream in streams.values()) > 1
    uncounted = sum(stream.uncounted for stream in streams.values())
    oddity = None
    if uncounted and damage is None:  # libsndfile calls the file malformed
        oddity = (
            f"its pages count {1000 * uncounted / OPUS_HZ:.0f} ms less than they hold, as where"
            " recordings were joined; all of it is scored"
        )
    return Integrity(damage, demuxer="ogg" if is_chain or uncounted else "", oddity=oddity)


def _damage(fd: int, streams: dict[int, _Stream]) -> DecodingError | None:
    """The first thing that is wrong with the pages; None if they are whole."""
    end = 0
    for page in _pages(fd):
        damage, end = _page_damage(page, streams), page.end
        if damage is not None:
            return damage
        _count_opus(fd, page, streams)
    if _has_later_page(fd, end):
        return DecodingError("damaged", f"a hole at byte {end:,}, and sound behind it; {ADVICE}")
    if os.pread(fd, 5, end) == CAPTURE + b"\0":
        return DecodingError("truncated", f"cut short in the middle of a page; {ADVICE}")
    if any(s.is_audio and s.has_frames and not s.has_ended for s in streams.values()):
        return DecodingError("truncated", f"cut short: its last page is missing; {ADVICE}")
    return None


def ends_its_streams(fd: int) -> bool:
    """Whether the pages are as they were written, and every stream of audio has its last one.

    Not more than MAX_CHECKED_BYTES and MANY_PAGES are looked at, so that nobody can make this last.
    """
    if os.fstat(fd).st_size > MAX_CHECKED_BYTES:
        return False
    streams: dict[int, _Stream] = {}
    end = 0
    for page in islice(_pages(fd), MANY_PAGES):
        if _page_damage(page, streams) is not None:
            return False
        end = page.end
    audio = [stream for stream in streams.values() if stream.is_audio]
    return bool(audio) and all(s.has_ended for s in audio) and end == os.fstat(fd).st_size


def checksum(page: bytes) -> int:
    """CRC-32 of Ogg, which is zlib's with the bits of every byte, and of the result, mirrored."""
    blank = page[:22] + bytes(4) + page[26:]
    mirrored = zlib.crc32(blank.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def _page_damage(page: Page, streams: dict[int, _Stream]) -> DecodingError | None:
    """Holds a page against those before it, and takes it in."""
    if not page.is_intact:
        return DecodingError("damaged", f"its page at byte {page.offset:,} was altered; {ADVICE}")
    if page.flags & BEGINS:
        if page.serial in streams:  # a writer that gives every stream the same number
            streams[-len(streams)] = streams.pop(page.serial)
        streams[page.serial] = _Stream(page.number + 1, page.is_audio, page.is_opus)
        return None
    stream = streams.get(page.serial)
    if stream is None or stream.has_ended:
        return None
    if page.number != stream.next_number:
        return DecodingError("damaged", f"pages are missing before byte {page.offset:,}; {ADVICE}")
    stream.next_number = (page.number + 1) % 2**32
    stream.has_frames = stream.has_frames or page.granule > 0
    stream.has_ended = bool(page.flags & ENDS)
    return None


def _count_opus(fd: int, page: Page, streams: dict[int, _Stream]) -> None:
    """Holds the samples of a page against those that it counts; the last one may end early."""
    stream = streams.get(page.serial)
    if stream is None or not stream.is_opus or page.granule <= 0:
        return
    if not page.flags & (CONTINUES | ENDS):
        held = _opus_samples(os.pread(fd, page.end - page.offset, page.offset))
        stream.uncounted += max(0, held - (page.granule - stream.granule))
    stream.granule = page.granule


def _opus_samples(page: bytes) -> int:
    """Of the packets that end in a page, which begins with one."""
    n_segments = page[HEAD.size - 1]
    lacing = page[HEAD.size : HEAD.size + n_segments]
    at = begin = HEAD.size + n_segments
    samples = 0
    for n_bytes in lacing:
        at += n_bytes
        if n_bytes < 255:
            samples += _packet_samples(page[begin:at])
            begin = at
    return samples


def _packet_samples(packet: bytes) -> int:
    """By its first bytes (RFC 6716, 3.1 and 3.2)."""
    if not packet:
        return 0
    frame_ms = _OPUS_FRAME_MS[packet[0] >> 3]
    n_frames = (1, 2, 2, packet[1] & 63 if len(packet) > 1 else 0)[packet[0] & 3]
    return int(n_frames * frame_ms * OPUS_HZ / 1000)


def _pages(fd: int) -> Iterator[Page]:
    """Pages that follow each other without a gap."""
    offset, window, window_begin = 0, b"", 0
    while True:
        at = offset - window_begin
        if len(window) - at < MAX_PAGE_BYTES:
            window, window_begin, at = os.pread(fd, WINDOW_BYTES, offset), offset, 0
        page = _page(window, at, offset)
        if page is None:
            return
        offset = page.end
        yield page


def _page(window: bytes, at: int, offset: int) -> Page | None:
    """The page that is there in the window, and at `offset` in the file, if it is a whole one."""
    if len(window) - at < HEAD.size:
        return None
    head = HEAD.unpack_from(window, at)
    capture, version, flags, granule, serial, number, expected, n_segments = head
    if capture != CAPTURE or version != 0:
        return None
    body = at + HEAD.size + n_segments
    end = body + sum(window[at + HEAD.size : body])
    if end > len(window):
        return None
    is_right = checksum(window[at:end]) == expected
    is_audio = bool(flags & BEGINS) and window[body:end].startswith(AUDIO_MARKS)
    is_opus = is_audio and window.startswith(OPUS_MARK, body)
    file_end = offset + end - at
    return Page(offset, file_end, flags, granule, serial, number, is_audio, is_opus, is_right)


def _has_later_page(fd: int, offset: int) -> bool:
    """Whether another whole page comes later; junk behind the last one is no damage."""
    n_false_syncs = 0
    while window := os.pread(fd, WINDOW_BYTES, offset):
        at = window.find(CAPTURE)
        while at >= 0:
            if len(window) - at < MAX_PAGE_BYTES and len(window) == WINDOW_BYTES:
                break  # it may not be whole in this window
            page = _page(window, at, offset + at)
            if page is not None and page.is_intact:
                return True
            n_false_syncs += page is not None
            if n_false_syncs == MAX_FALSE_SYNCS:
                return False
            at = window.find(CAPTURE, at + 1)
        offset += at if at > 0 else max(1, len(window) - len(CAPTURE) + 1)
    return False
