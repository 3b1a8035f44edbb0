"""The containers that are decoded at all: known by content, and checked before a decoder runs.

Parsing is where decoders have their bugs, so only formats that clfd promises reach one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from classifier.audio.containers import chunk_integrity, declared_size, flac, mp3, mp4, ogg, riff
from classifier.audio.containers.integrity import Integrity
from classifier.audio.containers.signatures import (
    CONVERT,
    WAV_ENCODINGS,
    refusal,
    unsupported_encoding,
)
from classifier.errors import DecodingError

CONTAINERS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "FLAC", "OGG", "MP3")
ENCODINGS = (
    *("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"),
    *("VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"),
)
MIN_RATE_HZ, MAX_RATE_HZ, MAX_CHANNELS = 1_000, 768_000, 64
PCM_TAGS = (1, 3, 6, 7)  # and float, A-law, µ-law: what libsndfile is asked to read in a WAV
AIFC_ENCODINGS = (b"ima4", b"alac", b"GSM ")
OGG_MARKS = (b"\x7fFLAC", b"Speex   ")
START_BYTES = 4096  # padding before the first frame of an MP3 file included


class Container(NamedTuple):
    """How a container is known by the first bytes behind ID3 tags, and how it is checked.

    `name` is for people: what it is called, or is known as. With a `demuxer` FFmpeg reads it, else
    libsndfile. `expansion` estimates decoded bytes per file
    byte; before a file is opened it is known by `suffixes`. Where checking takes reading all of
    it, it `is_checked_whole`.
    """

    name: str
    has_magic: Callable[[bytes], bool]
    examine: Callable[[int], Integrity] = lambda _: Integrity()
    ends_as_promised: Callable[[int], bool] = lambda _: False
    expansion: int = 16
    suffixes: tuple[bytes, ...] = ()
    is_checked_whole: bool = False
    demuxer: str = ""


def _begins_with(*magics: bytes) -> Callable[[bytes], bool]:
    return lambda start: start.startswith(magics)


def _has_chunks(start: bytes) -> bool:
    form = start[8:12]
    return (
        start.startswith(b"riff")
        or (start[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and form == b"WAVE")
        or (start[:4] == b"FORM" and form in (b"AIFF", b"AIFC"))
    )


def _begins_with_adts(start: bytes) -> bool:
    """AAC as it is broadcast: a frame, and right behind it another one."""
    if len(start) < 7 or start[0] != 0xFF or start[1] & 0xF6 != 0xF0 or start[2] & 0x3C > 0x30:
        return False
    n_bytes = (start[3] & 3) << 11 | start[4] << 3 | start[5] >> 5
    following = start[n_bytes : n_bytes + 2]
    return n_bytes > 7 and following in (start[:2], b"", b"\xff")


def _begins_with_ac3(start: bytes) -> bool:
    return start[:2] == b"\x0b\x77" and len(start) > 5 and start[5] >> 3 <= 16


def _begins_with_eac3(start: bytes) -> bool:
    return _begins_with_ac3(start) and start[5] >> 3 > 10


_WAV = Container(
    "WAV, RF64, W64, AIFF",
    _has_chunks,
    chunk_integrity.examine_chunks,
    riff.chunks_end_as_promised,
    expansion=2,
    suffixes=(b".wav", b".wave", b".bwf", b".w64", b".aif", b".aiff", b".aifc"),
)
_FLAC = Container(
    "FLAC",
    _begins_with(flac.MAGIC),
    flac.examine_flac,
    flac.ends_with_last_frame,
    is_checked_whole=True,
)
_OGG = Container(
    "Ogg (Vorbis, Opus, FLAC, Speex)",
    _begins_with(ogg.CAPTURE),
    ogg.examine_ogg,
    ogg.ends_its_streams,
    is_checked_whole=True,
)
_MPEG = Container(
    "MP3, MP2",
    mp3.begins_with_frame,
    mp3.examine_mpeg,
    mp3.mpeg_ends_as_promised,
    is_checked_whole=True,
)


def _sized(name: str, demuxer: str, end: declared_size.End, *magics: bytes) -> Container:
    examine, ends = declared_size.examine_by(end, name), declared_size.ends_by(end)
    return Container(name, _begins_with(*magics), examine, ends, demuxer=demuxer)


_FORMATS = (
    *(_WAV, _FLAC, _OGG),
    Container(
        "M4A, MP4, 3GP",
        mp4.begins_with_box,
        mp4.examine_boxes,
        mp4.boxes_end_as_promised,
        demuxer="mov",
    ),
    _sized("WebM, Matroska", "matroska", declared_size.matroska_end, declared_size.EBML),
    _sized("WMA", "asf", declared_size.asf_end, declared_size.ASF),
    _sized("CAF", "caf", declared_size.caf_end, b"caff"),
    _sized("AU", "au", declared_size.au_end, b".snd"),
    Container("WavPack", _begins_with(b"wvpk"), demuxer="wv"),
    Container("TTA", _begins_with(b"TTA1"), demuxer="tta"),
    Container("Monkey's Audio", _begins_with(b"MAC "), demuxer="ape"),
    Container("AMR", _begins_with(b"#!AMR\n", b"#!AMR-WB\n"), demuxer="amr"),
    Container("AAC", _begins_with_adts, demuxer="aac"),
    Container("E-AC-3", _begins_with_eac3, demuxer="eac3"),
    Container("AC-3", _begins_with_ac3, demuxer="ac3"),
    _MPEG,
)


def readable_formats() -> str:
    """What is read, for people."""
    return ", ".join(container.name for container in _FORMATS)


def container_of(fd: int, path: bytes = b"") -> Container:
    """Raises DecodingError unless the first bytes are those of a container clfd reads."""
    if os.fstat(fd).st_size == 0:
        raise DecodingError("empty", "the file is empty (0 bytes); copy it again from its source")
    begin = mp3.offset_after_tags(fd)
    start = os.pread(fd, START_BYTES, begin)
    for container in _FORMATS:
        if container.has_magic(start):
            return _by_encoding(container, fd, start, path)
    if begin or mp3.holds_frames(fd):  # what lies behind a tag is for the decoder to find
        return _MPEG
    raise refusal(fd, start, path)


def _by_encoding(container: Container, fd: int, start: bytes, path: bytes) -> Container:
    """libsndfile reads some encodings of a container, and FFmpeg others."""
    if container is _FLAC and flac.has_variable_blocks(start):
        return container._replace(demuxer="flac")
    if container is _OGG and any(mark in start for mark in OGG_MARKS):
        return container._replace(demuxer="ogg")
    if container is not _WAV:
        return container
    if start[:4] == b"FORM":
        if riff.aiff_compression(fd) not in AIFC_ENCODINGS:
            return container
        riff.check_sizes(fd)
        return container._replace(demuxer="aiff")
    format = riff.wave_format(fd)
    if format is None:
        return container
    if format.tag in PCM_TAGS:
        check_bounds(format.rate_hz, format.channels)
        if format.bits > 64 or format[0::3] in ((1, 64), (3, 16), (3, 24)):
            raise DecodingError(
                "unsupported", f"WAV with samples of {format.bits} bits, not read; {CONVERT}"
            )
        return container
    if format.tag not in WAV_ENCODINGS:
        raise unsupported_encoding(format.tag, path)
    riff.check_sizes(fd)
    return container._replace(demuxer="w64" if start[:4] == b"riff" else "wav")


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
            f"{container} with {encoding} encoding is not read; {CONVERT}",
        )
    check_bounds(rate_hz, channels)


def check_bounds(rate_hz: int, channels: int) -> None:
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise DecodingError(
            "implausible",
            f"the header says {rate_hz} Hz, outside {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz; "
            "the header is damaged, or export the file again",
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise DecodingError(
            "implausible",
            f"the header says {channels} channels, more than {MAX_CHANNELS}; split the file"
            if channels
            else "the header says 0 channels; the header is damaged, or export the file again",
        )
