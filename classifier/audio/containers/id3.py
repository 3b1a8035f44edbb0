"""ID3v2 tags at the beginning of a file, which may stand before any audio."""

from __future__ import annotations

import os

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
