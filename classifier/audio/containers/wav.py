"""Uncompressed WAV files as recorders write them, read without a decoder.

A file whose header is unusual in any way is left to libsndfile, so that it alone says what is odd
about one; what is read here comes out bit for bit as libsndfile gives it. The format: Multimedia
Programming Interface and Data Specifications 1.0 (1991), and Multiple Channel Audio Data (2001).
"""

from __future__ import annotations

import errno
import os
import struct
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from classifier.audio.containers.formats import MAX_CHANNELS, MAX_RATE_HZ, MIN_RATE_HZ
from classifier.audio.containers.riff import RIFF, Chunk, chunks
from classifier.audio.regular_file import FileBytes
from classifier.audio.samples import BLOCK_SAMPLES, Block, Levels, Samples

LEAD_BYTES = 8  # read before the samples, there is a header; as many as keep them aligned
MAX_NOTE_BYTES = 2**11
PASSED_OVER = (b"JUNK", b"PAD ")
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
GUID = bytes.fromhex("0000 0000 1000 8000 00aa 0038 9b71")  # behind the tag of an extended format


class _Encoding(NamedTuple):
    dtype: str
    scale: float  # a power of two, so that it may be applied after channels are mixed


_ENCODINGS = {
    (PCM, 8): _Encoding("u1", 2.0**-7),
    (PCM, 16): _Encoding("<i2", 2.0**-15),
    (PCM, 24): _Encoding("<i4", 2.0**-31),  # shifted up by a byte
    (PCM, 32): _Encoding("<i4", 2.0**-31),
    (FLOAT, 32): _Encoding("<f4", 1.0),
    (FLOAT, 64): _Encoding("<f8", 1.0),
}


@dataclass
class PlainWave:
    """`frames` of uncompressed samples, from byte `begin` on, all of which are there."""

    content: FileBytes
    begin: int
    frames: int
    encoding: _Encoding
    channels: int
    samplerate: int
    frame_bytes: int
    level: Levels = field(default_factory=Levels)

    ends_at = truncation_error = None

    def mono(self, begin: int, n_frames: int) -> Samples:
        """Frames [begin, begin + n_frames) as one channel; fewer where the file ends."""
        mono = np.empty(max(0, min(n_frames, self.frames - begin)), np.float32)
        at_once, scale = BLOCK_SAMPLES // self.channels, self.encoding.scale
        for done in range(0, len(mono), at_once):
            part = mono[done : done + at_once]
            self.level.take(self.block(begin + done, len(part)), part, scale)
        return mono

    def block(self, begin: int, n_frames: int) -> Block:
        """(N, channels), as numbers around zero."""
        dtype, channels = self.encoding.dtype, self.channels
        offset, n_bytes = self.begin + begin * self.frame_bytes, n_frames * self.frame_bytes
        data = self.content.read(LEAD_BYTES + n_bytes, offset - LEAD_BYTES)
        if len(data) < LEAD_BYTES + n_bytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if self.frame_bytes == 3 * channels:
            at = LEAD_BYTES - 1  # each sample, and the byte before it
            shifted = np.ndarray((n_frames * channels,), dtype, data, at, (3,)) & -256
            return shifted.reshape(n_frames, channels)
        samples = np.frombuffer(data, dtype, offset=LEAD_BYTES).reshape(n_frames, channels)
        return (samples ^ 128).view("i1") if dtype == "u1" else samples


def plain_wave(content: FileBytes) -> PlainWave | None:
    """None where anything speaks for leaving the file to libsndfile."""
    found = _chunks(content)
    if found is None or not {b"fmt ", b"data"} <= found.keys():
        return None
    format, data = _format(content, found), found[b"data"]
    if format is None or data.begin < found[b"fmt "].begin:
        return None
    *_, frame_bytes = format
    frames = data.size // frame_bytes
    return PlainWave(content, data.begin, frames, *format) if frames else None


def _chunks(content: FileBytes) -> dict[bytes, Chunk] | None:
    """By name; None unless each is of a kind that is known here, there once, and whole."""
    head = bytes(content.read(12, 0))
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return None
    if int.from_bytes(head[4:8], "little") + 8 != content.size_bytes:
        return None
    found: dict[bytes, Chunk] = {}
    end = len(head)
    for chunk in chunks(content.read, RIFF, end):
        if chunk.name in found or not _is_usual(content, chunk):
            return None
        found[chunk.name], end = chunk, chunk.end
    return found if end == content.size_bytes else None


def _is_usual(content: FileBytes, chunk: Chunk) -> bool:
    if chunk.name == b"fact":
        return chunk.size == 4
    if chunk.name == b"LIST":
        return _are_usual_notes(
            bytes(content.read(min(chunk.size, MAX_NOTE_BYTES + 1), chunk.begin))
        )
    return chunk.name in (b"fmt ", b"data", b"PEAK") or chunk.name in PASSED_OVER


def _are_usual_notes(notes: bytes) -> bool:
    """Title, software and the like, each of which ends where it says."""
    if not notes.startswith(b"INFO") or not 12 <= len(notes) <= MAX_NOTE_BYTES:
        return False
    offset = 4
    while offset + 8 <= len(notes) and notes[offset : offset + 1] == b"I":
        size = int.from_bytes(notes[offset + 4 : offset + 8], "little")
        offset += 8 + size + size % 2
    return offset == len(notes)


def _format(
    content: FileBytes, found: dict[bytes, Chunk]
) -> tuple[_Encoding, int, int, int] | None:
    """Encoding, channels, sample rate in Hz, and bytes of a frame."""
    _, begin, size, _ = found[b"fmt "]
    fields = bytes(content.read(size, begin)) if size in (16, 18, 40) else b""
    if len(fields) < 16:
        return None
    tag, channels, rate_hz, _, frame_bytes, bits = struct.unpack("<HHIIHH", fields[:16])
    if tag == EXTENSIBLE:
        tag = _extended_tag(fields, bits)
    encoding = _ENCODINGS.get((tag, bits))
    if encoding is None or frame_bytes != channels * bits // 8:
        return None
    if not (1 <= channels <= MAX_CHANNELS and MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ):
        return None
    peak = found.get(b"PEAK")
    if peak is not None and (peak.size != 8 + 8 * channels or peak.begin < begin):
        return None
    return encoding, channels, rate_hz, frame_bytes


def _extended_tag(fields: bytes, bits: int) -> int:
    """The tag that stands at the end of an extended format; 0 where not all bits are in use."""
    if len(fields) < 40 or fields[26:] != GUID:
        return 0
    extra_bytes, valid_bits = struct.unpack("<HH", fields[16:20])
    return int.from_bytes(fields[24:26], "little") if (extra_bytes, valid_bits) == (22, bits) else 0
