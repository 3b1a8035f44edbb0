"""Audio files of every kind that clfd reads, and what can go wrong with their bytes.

A mutation is told by the name of its base, a seed and a number; the same three give the same bytes.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from functools import cache
from random import Random
from typing import NamedTuple

import numpy as np
import soundfile

RATE_HZ = 8000
HEADER_BYTES = 128
EXTREMES = (
    *(0, 1, 2, 7, 8, 15, 16, 255, 256, 65_535, 65_536, 2**20, 2**24),
    *(2**31 - 9, 2**31 - 1, 2**31, 2**31 + 8, 2**32 - 4096, 2**32 - 16, 2**32 - 8, 2**32 - 1),
)
NAMES = (
    *(b"fmt ", b"data", b"LIST", b"fact", b"JUNK", b"cue ", b"PEAK", b"bext", b"ds64", b"smpl"),
    *(b"COMM", b"SSND", b"FORM", b"INST", b"MARK", b"RIFF", b"INFO", b"ICMT", b"adtl", b"labl"),
    *(b"OggS", b"fLaC", b"Xing", b"Info", b"OpusHead", b"\x01vorbis", b"ID3"),
)


class Base(NamedTuple):
    """A whole file. A cut to fewer than `sound_end` bytes can be seen, unless it is `hidden`."""

    content: bytes
    sound_end: int
    hidden: range = range(0)


@cache
def bases() -> dict[str, Base]:
    """One file for each kind, and a few that real recorders write."""
    found = {
        "wav": _written("WAV", "PCM_16", b"data", 8),
        "wav24": _written("WAV", "PCM_24", b"data", 8),
        "wavfloat": _written("WAV", "FLOAT", b"data", 8),
        "ulaw": _written("WAV", "ULAW", b"data", 8),
        "wavex": _written("WAVEX", "PCM_24", b"data", 8, channels=2),
        "rf64": _written("RF64", "PCM_16", b"data", 8),
        "w64": _written("W64", "PCM_16", b"data", 24),
        "aiff": _written("AIFF", "PCM_16", b"SSND", 16),
        "aifc": _written("AIFF", "FLOAT", b"SSND", 16),
        "flac": _written("FLAC", "PCM_16"),
        "flac24": _written("FLAC", "PCM_24", channels=2),
        "vorbis": _written("OGG", "VORBIS", seconds=6.0),
        "opus": _written("OGG", "OPUS", seconds=6.0),
        "mp3": _written("MP3", "MPEG_LAYER_III", seconds=2.0),
    }
    wav, mp3, flac = (found[name].content for name in ("wav", "mp3", "flac"))
    data = wav.index(b"data")
    notes = b"LIST" + struct.pack("<I", 20) + b"INFOICMT" + struct.pack("<I", 8) + b"a fridge"
    labels = b"LIST" + struct.pack("<I", 18) + b"adtllabl" + struct.pack("<I", 6) + b"\1\0\0\0x\0"
    found["noted"] = Base(wav[:data] + notes + labels + wav[data:], len(wav + notes + labels))
    found["noted behind"] = Base(wav + notes, len(wav))
    found["tagged wav"] = Base(b"ID3\4\0\0\0\0\1\0" + bytes(128) + wav, 138 + len(wav))
    found["piped wav"] = Base(wav[: data + 4] + b"\xff" * 4 + wav[data + 8 :], data)
    found["stopped wav"] = Base(wav[: data + 4] + bytes(4) + wav[data + 8 :], len(wav))
    found["plain mp3"] = Base(mp3[mp3.index(mp3[:2], 2) :], 4)
    found["tagged mp3"] = Base(b"ID3\4\0\0\0\0\1\0" + bytes(128) + mp3, 138 + len(mp3))
    unnamed = bytes([flac[21] & 0xF0]) + bytes(4)
    found["piped flac"] = Base(flac[:21] + unnamed + flac[26:], 42)
    first, second = found["vorbis"].content, found["opus"].content
    found["chain"] = Base(first + second, 10**9, hidden=range(len(first), len(first) + 5))
    return found


def mutation(name: str, seed: int, number: int) -> tuple[str, bytes]:
    """What was done to the base, in words, and the bytes that came of it."""
    random = Random(f"{name}:{seed}:{number}")
    content = bases()[name].content
    if random.random() < 0.1:
        kept = random.randrange(len(content))
        return f"cut to {kept}", content[:kept]
    done = []
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        deed = random.choice(_DEEDS)
        content = deed(bytearray(content), random) or b"\0"
        done.append(deed.__name__.strip("_"))
    return ", ".join(done), content


def is_visible_cut(name: str, words: str) -> bool:
    """Whether the mutation is a cut that the format allows to be seen."""
    if not words.startswith("cut to"):
        return False
    base, kept = bases()[name], int(words.split()[-1])
    return kept < base.sound_end and kept not in base.hidden


def _written(
    container: str,
    subtype: str,
    mark: bytes = b"",
    mark_bytes: int = 0,
    seconds: float = 0.6,
    channels: int = 1,
) -> Base:
    """Behind `mark` and its size begin the samples; without one, they fill the file."""
    n_frames = round(seconds * RATE_HZ)
    samples = 0.1 * np.random.RandomState(0).randn(n_frames, channels).astype(np.float32)
    stream = io.BytesIO()
    soundfile.write(stream, samples, RATE_HZ, subtype, format=container)
    content = stream.getvalue()
    widths = {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4, "ULAW": 1}
    if not mark:
        return Base(content, len(content))
    n_bytes = n_frames * channels * widths[subtype]
    return Base(content, content.index(mark) + mark_bytes + n_bytes)


def _place(content: bytearray, random: Random) -> int:
    """Headers are hit more often than bodies."""
    within = HEADER_BYTES if random.random() < 0.7 else len(content)
    return random.randrange(max(1, min(within, len(content))))


def _flip_bits(content: bytearray, random: Random) -> bytes:
    for _ in range(random.choice((1, 2, 5, 20))):
        content[_place(content, random)] ^= 1 << random.randrange(8)
    return bytes(content)


def _set_bytes(content: bytearray, random: Random) -> bytes:
    at, length = _place(content, random), random.choice((1, 2, 4, 16, 400))
    filling = random.choice((b"\0", b"\xff", b"\x7f", b"\x80", random.randbytes(1)))
    content[at : at + length] = filling * len(content[at : at + length])
    return bytes(content)


def _scramble(content: bytearray, random: Random) -> bytes:
    at, length = _place(content, random), random.choice((4, 64, 1024))
    content[at : at + length] = random.randbytes(len(content[at : at + length]))
    return bytes(content)


def _set_number(content: bytearray, random: Random) -> bytes:
    at, order = _place(content, random) & ~1, random.choice("<>")
    value = (random.choice(EXTREMES) + random.choice((0, 0, -1, 1))) % 2**32
    content[at : at + 4] = struct.pack(order + "I", value)
    return bytes(content)


def _set_long_number(content: bytearray, random: Random) -> bytes:
    at = _place(content, random) & ~3
    content[at : at + 8] = struct.pack("<Q", random.choice((2**63 - 1, 2**64 - 1, 2**62, 24, 23)))
    return bytes(content)


def _set_chunk_size(content: bytearray, random: Random) -> bytes:
    """Of a name that is in the file."""
    there = [at for name in NAMES if (at := content.find(name)) >= 0]
    if not there:
        return _set_number(content, random)
    at = random.choice(there) + 4
    size = random.choice((*EXTREMES, len(content), len(content) - at, random.randrange(4096)))
    content[at : at + 4] = struct.pack(random.choice("<<>") + "I", size % 2**32)
    return bytes(content)


def _rename_chunk(content: bytearray, random: Random) -> bytes:
    there = [(at, name) for name in NAMES if (at := content.find(name)) >= 0]
    if not there:
        return _scramble(content, random)
    at, name = random.choice(there)
    content[at : at + len(name)] = random.choice(NAMES)[: len(name)].ljust(len(name), b" ")
    return bytes(content)


def _insert_chunk(content: bytearray, random: Random) -> bytes:
    at = random.choice((12, 20, 36, _place(content, random)))
    size = random.choice((*EXTREMES, 4, 12, 40))
    body = random.choice((b"", b"INFO", b"adtl", random.randbytes(12)))
    note = random.choice(NAMES)[:4] + struct.pack("<I", random.choice(EXTREMES))
    chunk = random.choice(NAMES)[:4] + struct.pack(random.choice("<>") + "I", size) + body + note
    return bytes(content[:at] + chunk + content[at:])


def _cut_end(content: bytearray, random: Random) -> bytes:
    return bytes(content[: random.randrange(len(content) or 1)])


def _cut_out(content: bytearray, random: Random) -> bytes:
    at, length = _place(content, random), random.choice((1, 4, 27, 300, 4000))
    return bytes(content[:at] + content[at + length :])


def _repeat(content: bytearray, random: Random) -> bytes:
    at, length = _place(content, random), random.choice((1, 4, 27, 300, 4000))
    times = random.choice((2, 3, 50))
    return bytes(content[:at] + content[at : at + length] * times + content[at + length :])


def _splice(content: bytearray, random: Random) -> bytes:
    """The beginning of one file and the end of another."""
    other = bases()[random.choice(sorted(bases()))].content
    return bytes(content[: random.randrange(len(content) or 1)] + other[random.randrange(4096) :])


def _append(content: bytearray, random: Random) -> bytes:
    return bytes(content) + random.choice((bytes(5000), random.randbytes(500), content[:2000]))


_DEEDS: tuple[Callable[[bytearray, Random], bytes], ...] = (
    *(_flip_bits, _set_bytes, _scramble, _set_number, _set_number, _set_long_number),
    *(_set_chunk_size, _set_chunk_size, _rename_chunk, _insert_chunk, _insert_chunk),
    *(_cut_end, _cut_out, _repeat, _splice, _append),
)
