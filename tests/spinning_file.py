"""The file that no decoder comes back from."""

from __future__ import annotations

import struct


def spinning_wav() -> bytes:
    """A WAV whose chunk size, read as signed, sends libsndfile 1.2.2 back for ever (#1118)."""
    notes = b"INFOIXYZ" + struct.pack("<I", 0xFFFFFFF8)
    chunks = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16_000, 2, 16)
    chunks += b"LIST" + struct.pack("<I", len(notes)) + notes
    chunks += b"data" + struct.pack("<I", 72) + bytes(72)
    content = b"RIFF" + struct.pack("<I", len(chunks)) + chunks
    assert len(content) == 136
    return content
