"""One row of the results, and its columns."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from heapq import nlargest

_FIRST = (
    "path",
    "status",
    "label",
    "confidence",
    "duration_s",
    "sample_rate_hz",
    "checkpoint",
    "classified_at",
    "error",
    "inbox",
    "digest",
    "checkpoint_digest",
    "warning",
    "archived_path",
)

_ADDED = ("human_label", "recorded_at", "site", "channels", "rms_dbfs", "peak_dbfs", "clipped")

CLIP_COLUMNS = (*_FIRST, "start_s", "end_s", *_ADDED)

COLUMNS = (*_FIRST, *_ADDED)

# The others are text.
FLOATS, INTEGERS, MOMENTS = (
    ("confidence", "duration_s", "start_s", "end_s", "rms_dbfs", "peak_dbfs", "clipped"),
    ("sample_rate_hz", "channels"),
    ("classified_at", "recorded_at"),
)


@dataclass(frozen=True, slots=True)
class Result:
    """One answer of one recording, or one clip of it, as it is shown."""

    id: int
    path: str
    status: str
    label: str | None
    confidence: float | None
    duration_s: float | None
    sample_rate_hz: int | None
    checkpoint: str | None
    classified_at: str | None
    error: str | None
    inbox: str
    digest: str | None
    checkpoint_digest: str | None
    labels_json: str | None
    packed_scores: bytes | None  # float32 (L,)
    packed_clip_scores: bytes | None  # float16 (C, L); read only where clips are asked for
    clip_seconds: float | None
    clip_hop_seconds: float | None
    warning: str | None
    archived_path: str | None = None
    human_label: str | None = None
    recorded_at: str | None = None
    channels: int | None = None
    rms_dbfs: float | None = None
    peak_dbfs: float | None = None
    clipped: float | None = None
    site: str = ""
    start_s: float | None = None
    end_s: float | None = None

    def record(self, columns: tuple[str, ...]) -> dict[str, object]:
        """The columns of the contract, numbers rounded to what was stored."""
        return {column: _rounded(getattr(self, column)) for column in columns}

    def scores(self) -> dict[str, float] | None:
        """Label to probability."""
        if self.labels_json is None or self.packed_scores is None:
            return None
        labels = _labels(self.labels_json)
        values = struct.unpack(f"<{len(labels)}f", self.packed_scores)
        return {label: round(value, 6) for label, value in zip(labels, values, strict=True)}

    def clips(self, top: int = 1) -> Iterator[Result]:
        """One for each of the `top` labels of each clip, in time; none without an answer."""
        if self.labels_json is None or not self.packed_clip_scores:
            return
        labels = _labels(self.labels_json)
        row = struct.Struct(f"<{len(labels)}e")
        for position, values in enumerate(row.iter_unpack(self.packed_clip_scores)):
            start_s = position * (self.clip_hop_seconds or 0.0)
            clip = replace(
                self,
                packed_scores=struct.pack(f"<{len(labels)}f", *values),
                packed_clip_scores=None,
                start_s=start_s,
                end_s=min(start_s + (self.clip_seconds or 0.0), self.duration_s or float("inf")),
            )
            for best in nlargest(top, range(len(labels)), key=values.__getitem__):
                yield replace(clip, label=labels[best], confidence=values[best])


@lru_cache(maxsize=64)
def _labels(labels_json: str) -> tuple[str, ...]:
    return tuple(json.loads(labels_json))


def _rounded(value: object) -> object:
    return round(value, 6) if isinstance(value, float) else value
