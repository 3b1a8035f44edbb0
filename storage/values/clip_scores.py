"""The scores of clips as the ledger keeps them, and what they say of a part of a recording.

Packed are float16, little-endian, (C, L): clip `c` begins at `c` times the hop.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from storage.values.decision import (
    Decision,
    DisplayRules,
    human_text,
    most_probable,
    own_thresholds,
    rules_of,
)
from storage.values.timestamps import seconds_text


@dataclass(frozen=True, slots=True)
class ClipScores:
    """Of one recording under one checkpoint."""

    labels_json: str | None
    packed: bytes | None
    clip_seconds: float | None
    hop_seconds: float | None
    task: str = "single"
    thresholds_json: str | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        return labels_of(self.labels_json or "[]")

    def rows(
        self, start_s: float = 0.0, end_s: float = math.inf
    ) -> Iterator[tuple[float, tuple[float, ...]]]:
        """Of each clip in this part the start in seconds and the scores (L,)."""
        if not (self.labels and self.packed and self.clip_seconds and self.hop_seconds):
            return  # no answer
        row = struct.Struct(f"<{len(self.labels)}e")
        first = max(0, math.floor((start_s - self.clip_seconds) / self.hop_seconds) + 1)
        values = row.iter_unpack(memoryview(self.packed)[first * row.size :])
        for at, scores in enumerate(values, first):
            if at * self.hop_seconds >= end_s:
                break
            yield at * self.hop_seconds, scores

    def decide(self, start_s: float, end_s: float, rules: DisplayRules) -> Decision | None:
        """What is told of a part; None where no clip lies in it.

        In a single task the label that most of it was given, in a multi task all labels of the
        clips that lie in it by half, else of the clip that it shares most with.
        """
        if self.task == "multi":
            highest = self._highest(start_s, end_s)
            if highest is None:
                return None
            return rules.decide_clip(self.labels, highest, self.task, self.own)
        pair = self._commonest(start_s, end_s)
        return pair and rules.decide(*pair, task=self.task, own=self.own)

    @property
    def own(self) -> dict[str, float]:
        """The thresholds of the checkpoint."""
        return own_thresholds(self.thresholds_json)

    def _highest(self, start_s: float, end_s: float) -> list[float] | None:
        """Of each label the highest score of a clip."""
        shared = [
            (min(clip_start + (self.clip_seconds or 0.0), end_s) - max(clip_start, start_s), scores)
            for clip_start, scores in self.rows(start_s, end_s)
        ]
        if not shared:
            return None
        half = (self.clip_seconds or 0.0) / 2
        within = [scores for seconds, scores in shared if seconds >= half]
        return [max(column) for column in zip(*(within or [max(shared)[1]]), strict=True)]

    def _commonest(self, start_s: float, end_s: float) -> tuple[str, float] | None:
        """The label that most of a part was given, by seconds, and the surest clip's confidence.

        Of labels with as many seconds the surer one.
        """
        shared: dict[int, tuple[float, float]] = {}
        for clip_start, scores in self.rows(start_s, end_s):
            clip_end = clip_start + (self.clip_seconds or 0.0)
            seconds = min(clip_end, end_s) - max(clip_start, start_s)
            best = most_probable(scores)[0]
            before, confidence = shared.get(best, (0.0, 0.0))
            shared[best] = round(before + seconds, 6), max(confidence, scores[best])
        if not shared:
            return None
        chosen = max(shared, key=lambda best: shared[best])
        return self.labels[chosen], shared[chosen][1]

    def surest_start_s(self, label: str) -> float:
        """Where the clip begins that says this label most confidently."""
        if label not in self.labels:
            return 0.0
        at = self.labels.index(label)
        return max(self.rows(), key=lambda row: row[1][at], default=(0.0, ()))[0]


@lru_cache(maxsize=64)
def labels_of(labels_json: str) -> tuple[str, ...]:
    return tuple(json.loads(labels_json))


@dataclass(frozen=True, slots=True)
class LabelledPart:
    """What a person says of a part of a recording."""

    start_s: float
    end_s: float
    label: str

    @property
    def span(self) -> tuple[float, float]:
        return self.start_s, self.end_s

    def __str__(self) -> str:
        return f"{seconds_text(self.start_s)}-{seconds_text(self.end_s)} s: {self.label}"


def parts_of(parts_json: str | None, duration_s: float | None = None) -> list[LabelledPart]:
    """Of the column `human_parts`, by their starts; an end that is not known is infinite."""
    behind = duration_s or math.inf
    parts = json.loads(parts_json or "[]")
    return [LabelledPart(one["start_s"], one["end_s"] or behind, one["label"]) for one in parts]


def is_part_wrong(
    labels_json: str,
    packed: bytes,
    clip_seconds: float,
    hop_seconds: float,
    task: str,
    thresholds_json: str | None,
    parts_json: str,
    rules_json: str,
) -> bool:
    """Whether of any part something else is said than its clips were answered; for SQL."""
    scores = ClipScores(labels_json, packed, clip_seconds, hop_seconds, task, thresholds_json)
    rules = rules_of(rules_json)
    answers = ((part, scores.decide(*part.span, rules)) for part in parts_of(parts_json))
    return any(
        not decision or decision.text != human_text(part.label) for part, decision in answers
    )
