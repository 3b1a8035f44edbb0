"""Tiny files by the thousand: each its own content, made in microseconds."""

from __future__ import annotations

import hashlib
import random
import struct

RATE_HZ = 8000


def wav(number: int, seconds: float = 0.05, rate_hz: int = RATE_HZ) -> bytes:
    """A WAV of noise; another number is another sound."""
    samples = random.Random(number).randbytes(2 * round(seconds * rate_hz))
    return wav_header(len(samples), rate_hz) + samples


def wav_header(data_bytes: int, rate_hz: int = RATE_HZ) -> bytes:
    form = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + data_bytes, b"WAVE", b"fmt ", 16, 1, 1,
                       rate_hz, 2 * rate_hz, 2, 16)  # fmt: skip
    return form + struct.pack("<4sI", b"data", data_bytes)


def not_audio(number: int) -> bytes:
    return f"this is no sound, and number {number}\n".encode()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
