"""A spectrogram as a PNG file, for lists and overviews. Made inside decode workers.

PNG: Portable Network Graphics (Second Edition), ISO 15948, with a palette.
"""

from __future__ import annotations

import json
import struct
import zlib
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from classifier.audio.windows import Content, frames_between, read_sound

if TYPE_CHECKING:
    from classifier.audio.readers import Reader

COLOURS = Path(__file__).parents[1] / "static/sound/colours.js"
RANGE_DB = 70.0
SHORTEST_FFT, LONGEST_FFT = 256, 2048
FRAMES_PER_COLUMN = 4
READ_WHOLE_FRAMES = 2**22  # of a longer part some places are looked at
PLACES = 300

Pixels = npt.NDArray[np.uint8]


def draw(content: Content, start_s: float, end_s: float, width: int, height: int) -> bytes:
    """Time from left to right, 0 Hz at the bottom. Raises DecodingError and FileChanged."""
    return png(read_sound(content, partial(_pixels, start_s, end_s, width, height)), palette())


def _pixels(start_s: float, end_s: float, width: int, height: int, sound: Reader) -> Pixels:
    """(H, W): 255 is the loudest, 0 is RANGE_DB below it."""
    begin, end = frames_between(sound, start_s, end_s)
    n_fft = min(LONGEST_FFT, max(SHORTEST_FFT, 1 << (2 * height - 1).bit_length()))
    is_short = end - begin <= READ_WHOLE_FRAMES
    whole = sound.mono(begin, end - begin) if is_short else None
    n_columns = width if is_short else min(width, PLACES)
    step = (end - begin) / n_columns
    n = n_fft * (1 if step <= n_fft else FRAMES_PER_COLUMN)
    hann = np.hanning(n_fft).astype(np.float32)
    bands = np.linspace(0, n_fft // 2, height, endpoint=False).astype(int)
    power = np.empty((height, n_columns), np.float32)
    for at in range(n_columns):
        first = max(0, int((at + 0.5) * step) - n // 2)
        part = sound.mono(begin + first, n) if whole is None else whole[first : first + n]
        frames = np.pad(part, (0, n - len(part))).reshape(-1, n_fft) * hann
        loudest = np.square(np.abs(np.fft.rfft(frames))).max(axis=0)
        power[:, at] = np.maximum.reduceat(loudest, bands)[::-1]
    decibels = 10 * np.log10(np.maximum(power / max(power.max(), 1e-20), 1e-20))
    shades: Pixels = np.clip(255 * (1 + decibels / RANGE_DB), 0, 255).astype(np.uint8)
    return shades.take(np.arange(width) * n_columns // width, axis=1)


def png(pixels: Pixels, colours: bytes) -> bytes:
    """`pixels` (H, W) are places among the colours, three bytes each."""
    height, width = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    rows = np.pad(pixels, ((0, 0), (1, 0))).tobytes()  # each behind the number of its filter
    chunks = ((b"IHDR", header), (b"PLTE", colours), (b"IDAT", zlib.compress(rows, 6)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*one) for one in (*chunks, (b"IEND", b"")))


def _chunk(name: bytes, content: bytes) -> bytes:
    checked = name + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


@cache
def palette() -> bytes:
    """256 colours by the places that the page itself has."""
    text = COLOURS.read_text()
    places = np.array(json.loads(text[text.index("[[") : text.index("]]") + 2]))
    at = np.linspace(0, len(places) - 1, 256)
    channels = [np.interp(at, range(len(places)), channel) for channel in places.T]
    return np.rint(channels).astype(np.uint8).T.tobytes()
