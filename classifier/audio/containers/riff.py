"""Containers made of chunks (WAV, RF64, W64, AIFF): where the samples lie, and what is promised.

Read with a few small reads at known places, whatever sizes the chunks claim to have.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from classifier.audio.containers.integrity import Patch
from classifier.audio.containers.mp3 import offset_after_tags
from classifier.errors import DecodingError

MAX_CHUNKS = 1000  # real files have a dozen
LIST_BYTES = 2**20  # of notes and labels are looked through
GAP_BYTES = 2**16  # between chunks, in which the samples are looked for
MAX_LEFTOVER = 2**12  # bytes that a header claims which was written before the samples
LEFTOVERS = 16  # times as many follow
RECORDERS = (b"LIST", b"bext", b"guan", b"wamd")
NOTE_BYTES = 2**14
UNPADDED = (b"data", b"fmt ", b"fact", b"LIST", b"bext", b"guan")  # where a pad byte is missing

# Sizes that stand for "not known yet": ffmpeg, sox and oggdec in a pipe, arecord, and their like.
_PLACEHOLDER = 0xFFFFFF00
_PLACEHOLDERS = (0x7FFFFF00, 0x7FFFFFD3, 0x7FFFFFFF, 0x80000000)
_SOX = range(0x7FFFF000 - 63, 0x7FFFF000 + 1)  # rounded down to whole frames
_SOX_AIFF = range(0x7F000000 - 511, 0x7F000000 + 1)
_PLACEHOLDER_64 = 2**63 - 1
_EXTENSIBLE = 0xFFFE  # the tag of a format whose encoding stands further on
_BEYOND = 2**32  # bytes of samples: no size in a RIFF header can be as large
_UNCOMPRESSED = (b"NONE", b"twos", b"sowt", b"fl32", b"FL32", b"fl64", b"FL64", b"in24", b"in32")


Read = Callable[[int, int], bytes | memoryview]  # that many bytes from an offset on


class Span(NamedTuple):
    """The samples of a file, from byte `begin` on: what is there, and what the header declares.

    `declared_bytes` is None where the writer could not know them. `patches` give a header that does
    not declare it the length of what is there.
    """

    begin: int
    available_bytes: int
    declared_bytes: int | None
    patches: tuple[Patch, ...] = ()


_SIZES = {  # of a whole file: how its first bytes name it, and how many bytes do not count
    b"RIFF": (struct.Struct("<4xI"), 8),
    b"RIFX": (struct.Struct(">4xI"), 8),
    b"FORM": (struct.Struct(">4xI"), 8),
    b"RF64": (struct.Struct("<20xQ"), 8),
    b"BW64": (struct.Struct("<20xQ"), 8),
    b"riff": (struct.Struct("<16xQ"), 0),
}


class _Form(NamedTuple):
    """How a container writes its chunks."""

    head: struct.Struct
    first: int  # byte, from the container's beginning
    alignment: int
    kind: str = "WAV"

    @property
    def size_counts_head(self) -> bool:
        return self.kind == "W64"


class Chunk(NamedTuple):
    name: bytes
    begin: int  # of what is in it
    size: int
    end: int  # where the next one begins


RIFF = _Form(struct.Struct("<4sI"), 12, 2)
_RIFX = _Form(struct.Struct(">4sI"), 12, 2)
_W64 = _Form(struct.Struct("<4s12xQ"), 40, 8, "W64")
_AIFF = _RIFX._replace(kind="AIFF")
_FORMS = dict.fromkeys((b"RIFF", b"RF64", b"BW64"), RIFF)
_FORMS |= {b"RIFX": _RIFX, b"FORM": _AIFF, b"riff": _W64}


def notes(fd: int) -> Iterator[tuple[bytes, bytes]]:
    """What recorders write beside the samples: each chunk of notes by its name, the first of it."""
    form, first = form_of(fd)
    if form is None or form is _W64:
        return
    for chunk in chunks_of(fd, form, first):
        if chunk.name in RECORDERS:
            yield chunk.name, os.pread(fd, min(chunk.size, NOTE_BYTES), chunk.begin)


def check_sizes(fd: int) -> None:
    """Raises DecodingError where a chunk, samples aside, claims more than the file holds.

    FFmpeg makes room for a note of 4 GiB before it looks whether there is one.
    """
    form, first = form_of(fd)
    size_bytes = os.fstat(fd).st_size
    for chunk in chunks_of(fd, form, first) if form else ():
        if chunk.begin + chunk.size > size_bytes and chunk.name not in (b"data", b"SSND"):
            raise DecodingError(
                "damaged",
                f"a chunk of its header claims {chunk.size:,} bytes; copy it again from its source",
            )


class WaveFormat(NamedTuple):
    """What a WAV file says of its samples."""

    tag: int  # of the encoding
    channels: int
    rate_hz: int
    bits: int


def wave_format(fd: int) -> WaveFormat | None:
    """None where none is found."""
    form, first = form_of(fd)
    if form is None:
        return None
    order = ">" if form is _RIFX else "<"
    for chunk in chunks_of(fd, form, first):
        if chunk.name == b"fmt ":
            fields = os.pread(fd, 26, chunk.begin)
            if len(fields) < 16:
                return None
            tag, channels, rate_hz, bits = struct.unpack_from(f"{order}HHI6xH", fields)
            if tag == _EXTENSIBLE:
                if len(fields) < 26:
                    return None
                tag = struct.unpack_from(f"{order}H", fields, 24)[0]
            return WaveFormat(tag, channels, rate_hz, bits)
    return None


def aiff_compression(fd: int) -> bytes:
    """The encoding of an AIFF file as its COMM chunk names it."""
    form, first = form_of(fd)
    found = chunks_of(fd, form, first) if form else ()
    comm = next((chunk for chunk in found if chunk.name == b"COMM"), None)
    return os.pread(fd, 4, comm.begin + 18) if comm and comm.size >= 22 else b"NONE"


def sample_span(fd: int) -> Span | None:
    """Where the samples lie; None in other containers, and where none are found."""
    form, first, found = find_chunks(fd)
    if form is None:
        return None
    size_bytes = os.fstat(fd).st_size
    chunks: dict[bytes, Chunk] = {}
    for chunk in found:
        chunks.setdefault(chunk.name, chunk)
    if b"SSND" in chunks:
        return _aiff_span(fd, form, chunks, size_bytes)
    data = chunks.get(b"data")
    if data is None or data.begin > size_bytes:
        return None
    available = size_bytes - data.begin
    if data.size == 0 and _ends_in_chunks(fd, form, data.end, size_bytes):
        available = 0  # an empty recording, and notes about it
    if form is _W64:
        return _w64_span(data, available)
    if b"ds64" in chunks and data.size == 0xFFFFFFFF:
        return _rf64_span(fd, chunks[b"ds64"], data, available)
    declared = 0 if _is_leftover(fd, form, data, size_bytes) else _declared_size(data.size)
    if available >= _BEYOND and form is RIFF:
        patches = _as_rf64(first, data, available)
        return Span(data.begin, available, None if data.size else 0, patches)
    size = struct.pack(f"{form.head.format[0]}I", min(available, 2**32 - 1))
    return Span(data.begin, available, declared, (Patch(data.begin - 4, 4, size),))


def chunks_end_as_promised(fd: int) -> bool:
    """The header's two promises agree: the length of the samples, and that of the whole file.

    What writes in passes, samples first and notes later, keeps the first one only.
    """
    begin = offset_after_tags(fd)
    head = os.pread(fd, 28, begin)
    if len(head) < 28 or head[:4] not in _SIZES:
        return False
    form, uncounted = _SIZES[head[:4]]
    end = begin + form.unpack_from(head)[0] + uncounted
    size_bytes = os.fstat(fd).st_size
    if end + end % 2 != size_bytes + size_bytes % 2:  # a pad byte is counted by some, or missing
        return False
    span = sample_span(fd)
    return span is not None and span.available_bytes >= (span.declared_bytes or math.inf)


def form_of(fd: int) -> tuple[_Form | None, int]:
    """The form of the chunks, and the place of the first one."""
    begin = offset_after_tags(fd)
    start = os.pread(fd, 12, begin)
    if start[:4] == b"FORM" and start[8:] not in (b"AIFF", b"AIFC"):
        return None, 0
    form = _FORMS.get(start[:4])
    return form, begin + form.first if form else 0


def chunks(read: Read, form: _Form, offset: int) -> Iterator[Chunk]:
    """From `offset` up to the end, or to where no chunk follows: padding, or junk."""
    for _ in range(MAX_CHUNKS):
        head = read(form.head.size, offset)
        if len(head) < form.head.size or not all(0x20 <= letter < 0x7F for letter in head[:4]):
            return
        name, size = form.head.unpack(head)
        if form.size_counts_head:
            size = max(0, size - form.head.size)
        begin = offset + form.head.size
        offset = begin + size + -size % form.alignment
        if size % 2 and form.alignment == 2 and bytes(read(4, offset - 1)) in UNPADDED:
            offset -= 1
        if offset >= 2**63:  # the last one, whatever it holds
            yield Chunk(name, begin, size, 2**63 - 1)
            return
        yield Chunk(name, begin, size, offset)
    raise DecodingError(
        "damaged", f"more than {MAX_CHUNKS} chunks in its header; copy it again from its source"
    )


def chunks_of(fd: int, form: _Form, offset: int) -> Iterator[Chunk]:
    return chunks(partial(os.pread, fd), form, offset)


def find_chunks(fd: int) -> tuple[_Form | None, int, list[Chunk]]:
    """The form, the place of the first chunk, and all of them, over a gap before the samples."""
    form, first = form_of(fd)
    if form is None:
        return None, 0, []
    found = list(chunks_of(fd, form, first))
    if form is _W64 or {b"data", b"SSND"} & {chunk.name for chunk in found}:
        return form, first, found
    end = found[-1].end if found else first
    at = os.pread(fd, GAP_BYTES, end).find(b"data")
    return form, first, found if at < 0 else [*found, *chunks_of(fd, form, end + at)]


def _is_leftover(fd: int, form: _Form, data: Chunk, size_bytes: int) -> bool:
    """Whether the size was written before there were any samples, and never mended.

    Behind so few bytes a recording goes on: neither chunks nor zeros, as they fill a file up.
    """
    rest = size_bytes - data.end
    if not 0 < data.size <= MAX_LEFTOVER or rest < LEFTOVERS * data.size:
        return False
    end = data.end
    for chunk in chunks_of(fd, form, end):
        if begins_file(os.pread(fd, 12, chunk.begin - form.head.size)):
            return False
        end = chunk.end
    return bool(os.pread(fd, LIST_BYTES, end).strip(b"\0"))


def begins_file(head: bytes) -> bool:
    """Whether these are the first 12 bytes of another file made of chunks."""
    return head[:4] in _FORMS and (head[:4] == b"riff" or head[8:] in (b"WAVE", b"AIFF", b"AIFC"))


def _ends_in_chunks(fd: int, form: _Form, begin: int, size_bytes: int) -> bool:
    """Whether from here on there is nothing but chunks, to the last byte or a missing pad byte."""
    end = begin
    for chunk in chunks_of(fd, form, begin):
        end = chunk.end
    return end in (size_bytes, size_bytes + 1)


def _declared_size(size: int) -> int | None:
    return None if size >= _PLACEHOLDER or size in _PLACEHOLDERS or size in _SOX else size


def _rf64_span(fd: int, ds64: Chunk, data: Chunk, available: int) -> Span:
    """The size of its data chunk stands in another chunk, in 64 bits."""
    sizes = os.pread(fd, 16, ds64.begin)
    size = struct.unpack("<8xQ", sizes)[0] if len(sizes) == 16 else 0
    length = Patch(ds64.begin + 8, 8, struct.pack("<Q", available))
    return Span(data.begin, available, None if size >= _PLACEHOLDER_64 else size, (length,))


def _as_rf64(first: int, data: Chunk, available: int) -> tuple[Patch, ...]:
    """ffmpeg and others go on writing beyond 4 GiB, with what is left of the size in 32 bits."""
    ds64 = struct.pack("<4sIQQQI", b"ds64", 28, data.begin + 28 + available, available, 0, 0)
    return (
        Patch(first - 12, 4, b"RF64"),
        Patch(first, 0, ds64),
        Patch(data.begin - 4, 4, b"\xff" * 4),
    )


def _w64_span(data: Chunk, available: int) -> Span:
    declared = None if data.size >= _PLACEHOLDER_64 - 24 else data.size
    length = Patch(data.begin - 8, 8, struct.pack("<Q", available + 24))
    return Span(data.begin, available, declared, (length,))


def _aiff_span(fd: int, form: _Form, chunks: dict[bytes, Chunk], size_bytes: int) -> Span | None:
    """Two places promise: the size of the chunk with the samples, and the header's frame count."""
    ssnd = chunks[b"SSND"]
    lead = os.pread(fd, 4, ssnd.begin)
    skipped = 8 + int.from_bytes(lead, "big")
    begin = ssnd.begin + skipped
    if begin > size_bytes:
        return None
    available = size_bytes - begin
    frame_bytes, n_frames, patch = _aiff_frames(fd, chunks.get(b"COMM"), available)
    size = struct.pack(">I", min(available + skipped, 2**32 - 1))
    patches = (Patch(ssnd.begin - 4, 4, size), *patch)
    if ssnd.size == 0:
        is_empty = _ends_in_chunks(fd, form, ssnd.end, size_bytes)
        return Span(begin, 0 if is_empty else available, 0, patches)
    declared = _declared_size(ssnd.size)
    if frame_bytes and n_frames == 0:
        in_chunk = available if declared is None else max(0, min(available, declared - skipped))
        return Span(begin, in_chunk, 0, patches)
    if declared is None or ssnd.size - skipped in _SOX_AIFF:
        return Span(begin, available, None, patches)
    return Span(begin, available, max(declared - skipped, frame_bytes * n_frames), patches)


def _aiff_frames(fd: int, comm: Chunk | None, available: int) -> tuple[int, int, tuple[Patch, ...]]:
    """Bytes of a frame (0 where they are compressed), the promised frames, and a patch for them."""
    content = os.pread(fd, 22, comm.begin) if comm else b""
    if comm is None or len(content) < 18:
        return 0, 0, ()
    channels, n_frames, bits = struct.unpack(">HIH", content[:8])
    codec = content[18:22] if comm.size >= 22 else b"NONE"
    frame_bytes = channels * -(-bits // 8)
    if codec not in _UNCOMPRESSED or frame_bytes == 0:
        return 0, n_frames, ()
    patch = Patch(comm.begin + 2, 4, struct.pack(">I", min(available // frame_bytes, 2**32 - 1)))
    return frame_bytes, n_frames, (patch,)
