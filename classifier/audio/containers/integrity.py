"""Is all of a recording there? What its container promises is held against what the file holds.

Decoders shorten a file that was cut, and hear nothing of the rest, without a word. What only shows
while decoding (FLAC has a checksum in every frame) is not looked for here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from classifier.audio.containers.formats import behind_tags
from classifier.audio.containers.mp3 import examine_mpeg
from classifier.audio.containers.ogg import find_ogg_damage
from classifier.audio.containers.patched_file import Patch
from classifier.audio.containers.riff import sample_span
from classifier.errors import DecodingError


@dataclass(frozen=True)
class Integrity:
    """What is wrong with a file, as the failure it may become, and what a decoder has to be told.

    `patches` let it be heard to its end: all of it, or all that is left.
    """

    damage: DecodingError | None = None
    patches: tuple[Patch, ...] = ()


def examine(fd: int) -> Integrity:
    """Without damage where the file is whole, or where its format does not let anybody see."""
    start = os.pread(fd, 4, behind_tags(fd))
    if start == b"OggS":
        return Integrity(find_ogg_damage(fd))
    if start.startswith((b"\xff", b"\0")):
        return Integrity(*examine_mpeg(fd))
    return _examine_chunks(fd)


def _examine_chunks(fd: int) -> Integrity:
    span = sample_span(fd)
    if span is None:
        return Integrity()
    if span.promised is None:
        return Integrity(patches=span.patches)
    if span.promised == 0 and span.there > 0:
        return Integrity(
            DecodingError(
                "unfinished",
                f"its header says that no samples follow, but {span.there:,} bytes do: what "
                "recorded it was stopped before the end; repair the header, or accept such "
                'recordings with intake.damaged = "warn"',
            ),
            span.patches,
        )
    if span.promised > span.there:
        return Integrity(
            DecodingError(
                "truncated",
                f"cut short: its header promises {span.promised:,} bytes of samples, "
                f"{span.there:,} are there; copy it again from its source",
            )
        )
    return Integrity()
