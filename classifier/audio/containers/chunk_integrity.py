"""Files made of chunks (WAV, RF64, W64, AIFF): are the samples there that the header promises?

What writers do wrong around samples that are whole is hidden from the decoder, which refuses much
of it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from struct import Struct

from classifier.audio.containers.integrity import Integrity, Patch, several_files
from classifier.audio.containers.mp3 import offset_after_tags
from classifier.audio.containers.riff import (
    LIST_BYTES,
    Chunk,
    Span,
    begins_file,
    chunks_of,
    find_chunks,
    form_of,
    sample_span,
)
from classifier.errors import DecodingError

NO_SAMPLES = "its header names no samples that are there"
NOTES, INFO = (b"LIST", b"INFO"), b"INFO"
HEADER_PARTS = (8, 16, 28)  # of its bytes that some writers count as samples (docs/audio.md)
MIN_REST_BYTES = 2**12  # behind the samples that are worth a word, where nothing explains them
TAGS = (b"TAG", b"ID3", b"APETAGEX", b"LYRICS")
# Chunks that libsndfile 1.2.2 reads or passes over whatever is in them.
HARMLESS = (
    *(b"fmt ", b"data", b"fact", b"ds64", b"bext", b"guan", b"wamd", b"iXML", b"_PMX", b"cart"),
    *(b"cue ", b"smpl", b"inst", b"JUNK", b"junk", b"PAD ", b"FLLR", b"id3 ", b"ID3 ", b"minf"),
)


def examine_chunks(fd: int) -> Integrity:
    """Holds the promised length of the samples against what is there.

    Raises DecodingError where no samples are found at all: no decoder is to look for them.
    """
    span = sample_span(fd)
    if span is None:
        raise DecodingError("damaged", f"{NO_SAMPLES}; copy it again from its source")
    found = _examine(fd, span)
    heard, available = span.declared_bytes or 0, span.available_bytes
    end = span.begin + (heard if 0 < heard <= available else available)
    patches = (*found.patches, *_hidden(fd, end))
    tags = offset_after_tags(fd)
    if os.pread(fd, 4, tags) == b"BW64":  # RF64 by another name (ITU-R BS.2088)
        has_sizes = os.pread(fd, 4, tags + 12) == b"ds64"
        patches = (Patch(tags, 4, b"RF64" if has_sizes else b"RIFF"), *patches)
    if patches and tags:  # libsndfile loses its way behind a tag in what is patched
        patches = (Patch(0, tags, b""), *patches)
    return replace(found, patches=patches)


def _examine(fd: int, span: Span) -> Integrity:
    declared, available = span.declared_bytes, span.available_bytes
    if declared is None:
        return Integrity(patches=span.patches)
    if declared == 0 and available > 0:
        return Integrity(
            DecodingError(
                "unfinished",
                f"its header says that no samples follow, but {available:,} bytes do: "
                "what recorded it was stopped before the end; repair the header, or accept such "
                'recordings with intake.damaged = "warn"',
            ),
            span.patches,
        )
    if declared <= available:
        return _examine_rest(fd, span.begin + declared)
    # With the header or a part of it, or twice.
    if declared - available in (span.begin, span.begin - 8, *HEADER_PARTS, available):
        return Integrity(
            patches=span.patches,
            oddity=f"its header promises {declared:,} bytes of samples, {available:,} are there, "
            "a fault of some recorders; nothing is missing",
        )
    return Integrity(
        DecodingError(
            "truncated",
            f"cut short: its header promises {declared:,} bytes of samples, "
            f"{available:,} are there; copy it again from its source",
        )
    )


def _examine_rest(fd: int, end: int) -> Integrity:
    """What lies behind the samples: another file, or bytes that nothing explains."""
    size_bytes = os.fstat(fd).st_size
    form, _ = form_of(fd)
    assert form is not None
    end += -end % form.alignment
    behind = list(chunks_of(fd, form, end))
    for chunk in behind:
        begin = chunk.begin - form.head.size
        if begins_file(os.pread(fd, 12, begin)) or chunk.name in (b"data", b"SSND"):
            # Of a WAV all is hidden from here on, and more.
            patches = () if form.kind == "WAV" else (Patch(begin, size_bytes - begin, b""),)
            return Integrity(several_files(form.kind), patches)
    rest = behind[-1].end if behind else end
    if form.kind == "W64" or size_bytes - rest < MIN_REST_BYTES or _is_padding(fd, rest):
        return Integrity()
    return Integrity(
        oddity=f"{size_bytes - rest:,} bytes behind the sound are neither notes nor padding; "
        "they are not heard"
    )


def _is_padding(fd: int, offset: int) -> bool:
    rest = os.pread(fd, LIST_BYTES, offset)
    return rest.startswith(TAGS) or not rest.strip(b"\0")


def _hidden(fd: int, end: int) -> tuple[Patch, ...]:
    """Patches that take out of a WAV all but its format and its samples, where need be."""
    form, first, found = find_chunks(fd)
    by_name = {chunk.name: chunk for chunk in reversed(found)}
    if form is None or form.kind != "WAV" or b"fmt " not in by_name:
        return ()
    if _are_harmless(fd, form.head, found):
        return ()
    parts, at = [], first
    for chunk in (by_name.get(b"ds64"), by_name[b"fmt "], by_name[b"data"]):
        if chunk is not None:
            head = chunk.begin - 8
            parts.append(Patch(at, head - at, b""))
            at = chunk.begin + (0 if chunk.name == b"data" else chunk.size)
    parts.append(Patch(end, os.fstat(fd).st_size - end, b""))
    if any(part.replaced < 0 for part in parts):  # the samples come before their format
        raise DecodingError("damaged", f"{NO_SAMPLES}; copy it again from its source")
    return tuple(part for part in parts if part.replaced)


def _are_harmless(fd: int, head: Struct, found: Sequence[Chunk]) -> bool:
    """Whether libsndfile reads this header: known chunks without a gap, and sound notes."""
    names = [chunk.name for chunk in found]
    if names.count(b"fmt ") > 1 or names.count(b"data") > 1:
        return False
    for before, chunk in pairwise(found):
        if chunk.begin - 8 != before.begin + before.size + before.size % 2:
            return False
    channels = 0
    for chunk in found:
        if chunk.name == b"fmt ":
            channels = int.from_bytes(os.pread(fd, 2, chunk.begin + 2), "little")
        is_peak = chunk.name == b"PEAK" and chunk.size == 8 + 8 * channels
        are_notes = chunk.name in NOTES and _are_sound(fd, head, chunk)
        if not (chunk.name in HARMLESS or is_peak or are_notes):
            return False
    return _is_padding(fd, found[-1].end)


def _are_sound(fd: int, head: Struct, chunk: Chunk) -> bool:
    """Whether stepping through notes, as libsndfile does, leads to their end.

    It reads the size of a note as a signed number, and goes back by it for ever.
    """
    notes = os.pread(fd, min(chunk.size, LIST_BYTES), chunk.begin)
    offset = len(INFO)
    while offset + head.size <= len(notes) and any(notes[offset : offset + 4]):
        _, size = head.unpack_from(notes, offset)
        offset += head.size + size + size % 2
    return notes.startswith(INFO) and chunk.size <= LIST_BYTES and offset <= len(notes) + 1
