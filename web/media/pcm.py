"""Samples as 16-bit integers, and as a WAV file of them. Made inside decode workers."""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from classifier.audio.windows import Content, read_window

MAX_SAMPLES = 8_000_000
HIGHEST = 32_767


class Pcm(NamedTuple):
    """Little-endian int16: 32,767 stands for the `peak`, so that quiet sound keeps its detail."""

    data: bytes
    peak: float
    start_s: float
    sample_rate_hz: int

    @property
    def n_samples(self) -> int:
        return len(self.data) // 2


def read_pcm(content: Content, start_s: float, end_s: float) -> Pcm:
    """Raises DecodingError and FileChanged."""
    samples, start_s, rate_hz = read_window(content, start_s, end_s, MAX_SAMPLES)
    peak = float(np.abs(samples).max(initial=0))
    scaled = np.rint(samples * np.float32(HIGHEST / peak if peak else 0))
    return Pcm(scaled.astype("<i2").tobytes(), peak, start_s, rate_hz)


def read_wave(content: Content, start_s: float, end_s: float, slow: int) -> bytes:
    """A WAV file of it that plays `slow` times more slowly; as loud as the recording is.

    Raises as `read_pcm`.
    """
    samples, _, rate_hz = read_window(content, start_s, end_s, MAX_SAMPLES)
    data = np.rint(np.clip(samples, -1, 1) * HIGHEST).astype("<i2").tobytes()
    rate_hz = max(1, rate_hz // slow)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate_hz, 2 * rate_hz, 2, 16)
    head = struct.pack("<4sI4s", b"RIFF", 36 + len(data), b"WAVE")
    return head + form + struct.pack("<4sI", b"data", len(data)) + data
