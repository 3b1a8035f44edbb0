"""Which containers are decoded at all, told by content and never by name.

Parsing is where decoders have their bugs, so only formats that clfd promises reach one.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from classifier.errors import DecodingError

CONTAINERS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "FLAC", "OGG", "MP3")
ENCODINGS = (
    *("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"),
    *("VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"),
)
MIN_RATE_HZ, MAX_RATE_HZ, MAX_CHANNELS = 1_000, 768_000, 64

NOT_AUDIO = (
    "not an audio file: its content is not WAV, AIFF, FLAC, Ogg or MP3; "
    "check what wrote it, or remove it"
)


class Header(NamedTuple):
    container: str
    encoding: str
    sample_rate_hz: int
    channels: int


def check_magic(fd: int) -> None:
    """Raises DecodingError unless the first bytes are those of a container clfd reads."""
    size = os.fstat(fd).st_size
    if size == 0:
        raise DecodingError("empty", "the file is empty (0 bytes); copy it again from its source")
    start = os.pread(fd, 4096, 0)
    if not (_is_tagged(start) or _is_mpeg(start.lstrip(b"\0"))):
        raise DecodingError("not_audio", NOT_AUDIO)


def check_header(header: Header) -> None:
    """Bounds what a header may ask for before anything is allocated for it."""
    container, encoding, rate_hz, channels = header
    if container not in CONTAINERS or encoding not in ENCODINGS:
        raise DecodingError(
            "unsupported",
            f"{container} with {encoding} encoding is not read; convert it to PCM WAV or FLAC",
        )
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise DecodingError(
            "implausible",
            f"the header says {rate_hz} Hz, outside {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz; "
            "the header is damaged, or export the file again",
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise DecodingError(
            "implausible",
            f"the header says {channels} channels, more than {MAX_CHANNELS}; split the file",
        )


def _is_tagged(start: bytes) -> bool:
    form = start[8:12]
    return (
        start.startswith((b"fLaC", b"OggS", b"ID3", b"riff"))
        or (start[:4] in (b"RIFF", b"RIFX", b"RF64") and form == b"WAVE")
        or (start[:4] == b"FORM" and form in (b"AIFF", b"AIFC"))
    )


def _is_mpeg(start: bytes) -> bool:
    """An MPEG audio frame header: 11 sync bits, then no reserved version, layer, rate."""
    if len(start) < 4 or start[0] != 0xFF or start[1] & 0xE0 != 0xE0:
        return False
    version, layer = start[1] >> 3 & 3, start[1] >> 1 & 3
    bit_rate, sample_rate = start[2] >> 4, start[2] >> 2 & 3
    return version != 1 and layer != 0 and bit_rate != 15 and sample_rate != 3


HEAD_BYTES = 10
MAX_TAGS = 10
HAS_FOOTER = 0x10


def behind_tags(fd: int) -> int:
    """The first byte that belongs to no tag."""
    offset = 0
    for _ in range(MAX_TAGS):
        head = os.pread(fd, HEAD_BYTES, offset)
        if len(head) < HEAD_BYTES or not head.startswith(b"ID3"):
            break
        size = 0
        for byte in head[6:]:
            size = size << 7 | byte & 0x7F
        offset += HEAD_BYTES + size + (HEAD_BYTES if head[5] & HAS_FOOTER else 0)
    return offset
