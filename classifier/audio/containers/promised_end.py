"""Does a container promise where the file ends, and does the file end just there?

Finding damage is another question (`integrity.py`): it finds nothing wrong where a format does not
let anybody see. Here the answer is no unless the end is proven. The check takes a few small reads
and no decoder; it runs in a worker, as everything does that reads what a stranger wrote.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from classifier.audio.containers.flac import MARK, ends_with_last_frame
from classifier.audio.containers.formats import behind_tags
from classifier.audio.containers.mp3 import ends_as_promised
from classifier.audio.containers.ogg import ends_its_streams
from classifier.audio.containers.riff import sample_span
from classifier.audio.regular_file import fingerprint, has_coarse_times, regular_file
from classifier.errors import DecodingError

# Every page of an Ogg file has to be read: 0.3 ms for a clip of 5 s, 5 ms for so much.
MAX_OGG_BYTES = 2**20

_SIZES = {  # of a whole file, as its first bytes tell it: how, and what does not count itself
    b"RIFF": (struct.Struct("<4xI"), 8),
    b"RIFX": (struct.Struct(">4xI"), 8),
    b"FORM": (struct.Struct(">4xI"), 8),
    b"RF64": (struct.Struct("<20xQ"), 8),
    b"riff": (struct.Struct("<16xQ"), 0),
}


@dataclass(frozen=True)
class EndCheck:
    """A file that its writer closed, as it was then."""

    path: bytes
    fingerprint: str


def is_complete(check: EndCheck) -> bool:
    """Whether it is still that file, and ends where its container promises."""
    try:
        with regular_file(check.path) as (fd, status):
            # Where a second write would not show, nothing is to be answered before it.
            if fingerprint(status) != check.fingerprint or has_coarse_times(status):
                return False
            return has_promised_end(fd)
    except (DecodingError, OSError):
        return False


def has_promised_end(fd: int) -> bool:
    """Whether the container promises an end, and the file ends there."""
    try:
        return _ends_as_promised(fd)
    except Exception:  # of a file made to surprise us: it settles as any other
        return False


def _ends_as_promised(fd: int) -> bool:
    start = os.pread(fd, 4, behind_tags(fd))
    if start == b"OggS":
        return os.fstat(fd).st_size <= MAX_OGG_BYTES and ends_its_streams(fd)
    if start == MARK:
        return ends_with_last_frame(fd)
    if start.startswith((b"\xff", b"\0")):
        return ends_as_promised(fd)
    return _chunks_end_as_promised(fd)


def _chunks_end_as_promised(fd: int) -> bool:
    """The header's two promises agree: the length of the samples, and that of the whole file.

    What writes in passes, samples first and notes later, keeps the first one only.
    """
    begin = behind_tags(fd)
    head = os.pread(fd, 28, begin)
    if len(head) < 28 or head[:4] not in _SIZES:
        return False
    form, uncounted = _SIZES[head[:4]]
    end = begin + form.unpack_from(head)[0] + uncounted
    size_bytes = os.fstat(fd).st_size
    if end + end % 2 != size_bytes + size_bytes % 2:  # a pad byte is counted by some, or missing
        return False
    span = sample_span(fd)
    return span is not None and bool(span.promised) and span.there >= (span.promised or 0)
