"""The same sounds over and over, no two files of the same bytes.

A daemon answers copies without scoring them, and a few hundred files are over before its workers
are warm. What is changed costs it nothing and is no sound: a comment or, where there is room for
none, the last two samples.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path

from classifier.audio.containers.ogg import CAPTURE, checksum

MARK_BYTES = 8
OGG_CRC = slice(22, 26)
VORBIS_COMMENT, FLAC_ENCODER = b"\x03vorbis", b"reference libFLAC"


def distinct(files: Sequence[Path], n_files: int, folder: Path) -> list[Path]:
    """`n_files` in all: the files themselves and then, in a new `folder`, variants of them."""
    folder.mkdir()
    made = list(files[:n_files])
    for number, file in enumerate(islice(cycle(files), n_files)):
        if number >= len(files):
            made.append(folder / f"{number:06}{file.suffix}")
            made[-1].write_bytes(VARY[file.suffix[1:]](file.read_bytes(), number))
    return made


def _wave(content: bytes, number: int) -> bytes:
    return content[:-4] + number.to_bytes(4, "little")


def _mp3(content: bytes, number: int) -> bytes:
    """With a title before it: an ID3v2.3 tag of one text frame."""
    title = b"\0" + _mark(number)
    frame = b"TIT2" + struct.pack(">IH", len(title), 0) + title
    return b"ID3\x03\0\0" + struct.pack(">I", len(frame)) + frame + content  # < 128: one digit


def _flac(content: bytes, number: int) -> bytes:
    """With the end of the encoder's name replaced, in the block of comments."""
    return _with_mark(content, content.index(FLAC_ENCODER) - 4, number)


def _ogg(content: bytes, number: int) -> bytes:
    """The same in the second page, which gets a new checksum."""
    start = content.index(CAPTURE, len(CAPTURE))
    end = content.index(CAPTURE, start + len(CAPTURE))
    name = content.index(VORBIS_COMMENT, start) + len(VORBIS_COMMENT)
    page = bytearray(_with_mark(content, name, number)[start:end])
    page[OGG_CRC] = checksum(bytes(page)).to_bytes(4, "little")
    return content[:start] + bytes(page) + content[end:]


def _with_mark(content: bytes, at: int, number: int) -> bytes:
    """The comments of Vorbis begin with the encoder's name, and its length before it."""
    end = at + 4 + int.from_bytes(content[at : at + 4], "little")
    return content[: end - MARK_BYTES] + _mark(number) + content[end:]


def _mark(number: int) -> bytes:
    return f"{number:0{MARK_BYTES}}".encode()


VARY: dict[str, Callable[[bytes, int], bytes]] = {
    "wav": _wave,
    "mp3": _mp3,
    "flac": _flac,
    "ogg": _ogg,
}
