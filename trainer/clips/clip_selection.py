"""Which clips are cut out of their recordings, and what their files are called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import nlargest
from itertools import groupby
from pathlib import Path

from sqlalchemy import Connection

from storage.queries.clips import ClipOptions
from storage.queries.filters import Filters
from storage.queries.results import recordings_with_clips
from storage.values.text import visible
from storage.values.timestamps import later

_STEM_LETTERS = 60  # of a recording's name; with the rest it stays below the 255 bytes of a name
_LABEL_LETTERS = 50
_STRANGE = re.compile(r"[^\w.+-]+")


@dataclass(frozen=True)
class Cut:
    """A clip of a recording, with so much sound around it as was asked for; times in seconds."""

    label: str
    confidence: float
    recording_id: int
    path: str  # of the recording, in its inbox
    digest: str
    sample_rate_hz: int
    start_s: float
    end_s: float
    recorded_at: str | None
    checkpoint: str | None

    @property
    def name(self) -> str:
        """Where it goes in the folder, without a suffix: by label, confidence, file and offset."""
        label = _plain(self.label, _LABEL_LETTERS)
        stem = _plain(Path(self.path).stem, _STEM_LETTERS)
        offset = f"{self.start_s:09.2f}s"
        return f"{label}/{label}_{self.confidence:.3f}_{stem}_{offset}_{self.digest[:8]}"

    @property
    def clip_at(self) -> str | None:
        """When it was recorded, as a stamp in UTC."""
        return None if self.recorded_at is None else later(self.recorded_at, self.start_s)


def select_cuts(
    connection: Connection,
    filters: Filters,
    pad_seconds: float = 0.0,
    top: int | None = None,
    per_label: int | None = None,
) -> list[Cut]:
    """Of the clips that fit, the `per_label` surest of each label, and of these the `top` surest.

    In the order of their recordings, so that each file is read once.
    """
    numbered = enumerate(_cuts(connection, filters, pad_seconds))
    chosen = sorted(numbered, key=lambda each: each[1].label) if per_label else list(numbered)
    if per_label:
        by_label = groupby(chosen, key=lambda each: each[1].label)
        chosen = [each for _, some in by_label for each in _surest(some, per_label)]
    if top:
        chosen = _surest(chosen, top)
    return [cut for _, cut in sorted(chosen, key=lambda each: each[0])]


def _surest(cuts: Iterable[tuple[int, Cut]], n: int) -> list[tuple[int, Cut]]:
    """Of equals the first."""
    return nlargest(n, cuts, key=lambda each: (each[1].confidence, -each[0]))


def _cuts(connection: Connection, filters: Filters, pad_seconds: float) -> Iterator[Cut]:
    for recording, clips in recordings_with_clips(connection, filters, ClipOptions()):
        if not clips or recording.digest is None or recording.sample_rate_hz is None:
            continue
        for clip in clips:
            start_s, end_s = clip.start_s or 0.0, clip.end_s or 0.0
            yield Cut(
                label=clip.label or "",
                confidence=clip.confidence or 0.0,
                recording_id=recording.id,
                path=recording.path,
                digest=recording.digest,
                sample_rate_hz=recording.sample_rate_hz,
                start_s=max(0.0, start_s - pad_seconds),
                end_s=min(end_s + pad_seconds, recording.duration_s or end_s),
                recorded_at=recording.recorded_at,
                checkpoint=recording.checkpoint,
            )


def _plain(text: str, n_letters: int) -> str:
    """Letters, digits and marks that every file system takes."""
    return _STRANGE.sub("_", visible(text)).strip("._")[:n_letters] or "_"
