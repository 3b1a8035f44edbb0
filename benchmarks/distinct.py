"""The same sounds over and over, no two files of the same bytes.

A daemon answers copies without hearing them, and a few hundred files are over before its workers
are warm. What is changed costs it nothing and is no sound: a comment or, where there is room for
none, the last two samples.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path

MARK_BYTES = 8
OGG_HEADER_BYTES, OGG_CRC = 27, slice(22, 26)
OGG_POLYNOMIAL = 0x04C11DB7
VORBIS_COMMENT = b"\x03vorbis"
FLAC_COMMENT, FLAC_LAST = 4, 0x80


def distinct(files: Sequence[Path], n_files: int, folder: Path) -> list[Path]:
    """`n_files` in all: the files themselves and then, in a new `folder`, variants of them."""
    folder.mkdir()
    made = list(files[:n_files])
    for number, file in enumerate(islice(cycle(files), n_files)):
        if number >= len(files):
            made.append(folder / f"{number:06}{file.suffix}")
            made[-1].write_bytes(varied(file.read_bytes(), file.suffix, number))
    return made


def varied(encoded: bytes, suffix: str, number: int) -> bytes:
    """A 16-bit WAV, FLAC, MP3 or Ogg Vorbis file that differs from those of other numbers."""
    return VARY[suffix.removeprefix(".")](encoded, number)


def _wave(encoded: bytes, number: int) -> bytes:
    return encoded[:-4] + number.to_bytes(4, "little")


def _mp3(encoded: bytes, number: int) -> bytes:
    """With a title before it: an ID3v2.3 tag of one text frame."""
    title = b"\0" + _mark(number)
    frame = b"TIT2" + struct.pack(">IH", len(title), 0) + title
    return b"ID3\x03\0\0" + struct.pack(">I", len(frame)) + frame + encoded  # < 128: one digit


def _flac(encoded: bytes, number: int) -> bytes:
    """With the end of the encoder's name replaced, in the block of comments."""
    at = len(b"fLaC")
    while encoded[at] & ~FLAC_LAST != FLAC_COMMENT:
        at += 4 + int.from_bytes(encoded[at + 1 : at + 4])
    return _marked_vendor(encoded, at + 4, number)


def _ogg(encoded: bytes, number: int) -> bytes:
    """The same in the second page, which gets a new checksum."""
    start = _page_end(encoded, 0)
    end = _page_end(encoded, start)
    comment = start + OGG_HEADER_BYTES + encoded[start + OGG_HEADER_BYTES - 1]
    assert encoded[comment:].startswith(VORBIS_COMMENT)
    page = bytearray(_marked_vendor(encoded, comment + len(VORBIS_COMMENT), number)[start:end])
    page[OGG_CRC] = bytes(4)
    page[OGG_CRC] = _ogg_checksum(page).to_bytes(4, "little")
    return encoded[:start] + bytes(page) + encoded[end:]


def _marked_vendor(encoded: bytes, at: int, number: int) -> bytes:
    """The comments of Vorbis begin with the encoder's name, and its length before it."""
    length = int.from_bytes(encoded[at : at + 4], "little")
    assert length >= MARK_BYTES, "the encoder gave too short a name"
    end = at + 4 + length
    return encoded[: end - MARK_BYTES] + _mark(number) + encoded[end:]


def _page_end(encoded: bytes, start: int) -> int:
    n_segments = encoded[start + OGG_HEADER_BYTES - 1]
    lengths = encoded[start + OGG_HEADER_BYTES :][:n_segments]
    return start + OGG_HEADER_BYTES + n_segments + sum(lengths)


def _ogg_checksum(page: bytes | bytearray) -> int:
    """CRC-32 as RFC 3533 has it: no bit is reflected, and it begins with 0."""
    checksum = 0
    for byte in page:
        checksum = (checksum << 8 & 0xFFFFFFFF) ^ OGG_TABLE[checksum >> 24 ^ byte]
    return checksum


def _table_entry(byte: int) -> int:
    remainder = byte << 24
    for _ in range(8):
        carry = OGG_POLYNOMIAL if remainder & 0x80000000 else 0
        remainder = (remainder << 1 & 0xFFFFFFFF) ^ carry
    return remainder


def _mark(number: int) -> bytes:
    return f"{number:0{MARK_BYTES}}".encode()


OGG_TABLE = [_table_entry(byte) for byte in range(256)]
VARY: dict[str, Callable[[bytes, int], bytes]] = {
    "wav": _wave,
    "mp3": _mp3,
    "flac": _flac,
    "ogg": _ogg,
}
