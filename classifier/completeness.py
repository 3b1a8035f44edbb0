"""Is all of a recording there? What its container promises is held against what the file holds.

Decoders shorten a file that was cut, and hear nothing of the rest, without a word. What only shows
while decoding (FLAC has a checksum in every frame) is not looked for here.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass

from classifier.chunks import Patch, sample_span
from classifier.errors import DecodingError
from classifier.id3 import behind_tags
from classifier.mpeg_frames import find_mpeg_damage
from classifier.ogg_pages import find_ogg_damage


@dataclass(frozen=True)
class Damage:
    """What is wrong, as the failure it may become; `patches` let the rest be heard all the same."""

    error: DecodingError
    patches: tuple[Patch, ...] = ()


def find_damage(fd: int) -> Damage | None:
    """None where the file is whole, or where its format does not let anybody see."""
    start = os.pread(fd, 4, behind_tags(fd))
    if start == b"OggS":
        return _of(find_ogg_damage(fd))
    if start.startswith((b"\xff", b"\0")):
        return _of(find_mpeg_damage(fd))
    return _chunk_damage(fd)


class Patched(io.FileIO):
    """An open file, read as if `patches` stood in it. Its file descriptor stays open."""

    def __init__(self, fd: int, patches: Sequence[Patch]) -> None:
        super().__init__(fd, closefd=False)
        self._patches = patches
        self.seek(0)

    def readinto(self, buffer: bytearray | memoryview) -> int | None:  # type: ignore[override]
        begin = self.tell()
        n_bytes = super().readinto(buffer) or 0
        view = memoryview(buffer).cast("B")
        for offset, content in self._patches:
            for at, byte in enumerate(content, offset - begin):
                if 0 <= at < n_bytes:
                    view[at] = byte
        return n_bytes


def _of(error: DecodingError | None) -> Damage | None:
    return None if error is None else Damage(error)


def _chunk_damage(fd: int) -> Damage | None:
    span = sample_span(fd)
    if span is None or span.promised is None:
        return None
    if span.promised == 0 and span.there > 0:
        return Damage(
            DecodingError(
                "unfinished",
                f"its header says that no samples follow, but {span.there:,} bytes do: what "
                "recorded it was stopped before the end; repair the header, or accept such "
                'recordings with intake.damaged = "warn"',
            ),
            span.patches,
        )
    if span.promised > span.there:
        return Damage(
            DecodingError(
                "truncated",
                f"cut short: its header promises {span.promised:,} bytes of samples, "
                f"{span.there:,} are there; copy it again from its source",
            )
        )
    return None
