"""The containers that are decoded at all: known by content, and checked before a decoder runs.

Parsing is where decoders have their bugs, so only formats that clfd promises reach one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from classifier.audio.containers import chunk_integrity, flac, mp3, ogg, riff
from classifier.audio.containers.integrity import Integrity
from classifier.errors import DecodingError

CONTAINERS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "FLAC", "OGG", "MP3")
ENCODINGS = (
    *("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"),
    *("VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"),
)
MIN_RATE_HZ, MAX_RATE_HZ, MAX_CHANNELS = 1_000, 768_000, 64
START_BYTES = 4096  # padding before the first frame of an MP3 file included

NOT_AUDIO = (
    "not an audio file: its content is not WAV, AIFF, FLAC, Ogg or MP3; "
    "check what wrote it, or remove it"
)


class Container(NamedTuple):
    """How a container is known by the first bytes behind ID3 tags, and how it is checked.

    `expansion` estimates decoded bytes per file byte; before a file is opened it is known by
    `suffixes`.
    """

    has_magic: Callable[[bytes], bool]
    examine: Callable[[int], Integrity]
    ends_as_promised: Callable[[int], bool]
    expansion: int = 16
    suffixes: tuple[bytes, ...] = ()


def _has_chunks(start: bytes) -> bool:
    form = start[8:12]
    return (
        start.startswith(b"riff")
        or (start[:4] in (b"RIFF", b"RIFX", b"RF64") and form == b"WAVE")
        or (start[:4] == b"FORM" and form in (b"AIFF", b"AIFC"))
    )


_MPEG = Container(mp3.begins_with_frame, mp3.examine_mpeg, mp3.mpeg_ends_as_promised)
_FORMATS = (
    Container(
        _has_chunks,
        chunk_integrity.examine_chunks,
        riff.chunks_end_as_promised,
        expansion=2,
        suffixes=(b".wav", b".wave", b".aif", b".aiff"),
    ),
    Container(lambda b: b.startswith(flac.MAGIC), flac.examine_flac, flac.ends_with_last_frame),
    Container(lambda b: b.startswith(ogg.CAPTURE), ogg.examine_ogg, ogg.ends_its_streams),
    _MPEG,
)


def container_of(fd: int) -> Container:
    """Raises DecodingError unless the first bytes are those of a container clfd reads."""
    if os.fstat(fd).st_size == 0:
        raise DecodingError("empty", "the file is empty (0 bytes); copy it again from its source")
    begin = mp3.offset_after_tags(fd)
    start = os.pread(fd, START_BYTES, begin)
    for container in _FORMATS:
        if container.has_magic(start):
            return container
    if begin or mp3.holds_frames(fd):  # what lies behind a tag is for the decoder to find
        return _MPEG
    raise DecodingError("not_audio", NOT_AUDIO)


def expansion_of(path: bytes) -> int:
    """Estimated decoded bytes per file byte, by the name alone."""
    name = path.lower()
    found = (each.expansion for each in _FORMATS if name.endswith(each.suffixes))
    return next(found, _MPEG.expansion)


def check_header(container: str, encoding: str, rate_hz: int, channels: int) -> None:
    """Bounds what a header may ask for before anything is allocated for it."""
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
