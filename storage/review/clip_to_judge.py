"""What a person listens to of a recording, and the part of it that the answer is about."""

from __future__ import annotations

from dataclasses import dataclass

from storage.queries.result import Result
from storage.values.decision import UNKNOWN

WHOLE_CLIPS = 1.5  # of the network's length; a longer recording is judged by its surest clip


@dataclass(frozen=True)
class ClipToJudge:
    """Seconds from `start_s` to `end_s`; the part from 0 to 0 is the whole."""

    id: int
    path: str
    digest: str
    start_s: float
    end_s: float
    part_start_s: float
    part_end_s: float
    duration_s: float | None
    label: str | None
    confidence: float | None
    human_label: str | None


def clip_to_judge(row: Result, label: str | None = None) -> ClipToJudge:
    """Of a recording that was read with its clips; the label is its own guess if none is given."""
    guess, confidence = label or row.label, row.confidence
    scores = row.scores() or {}
    if guess == UNKNOWN:
        guess = max(scores, key=lambda each: scores[each], default=None)
    duration_s, clip_s = row.duration_s or 0.0, row.clip_seconds or 0.0
    is_whole = not clip_s or duration_s <= WHOLE_CLIPS * clip_s
    start_s = 0.0 if is_whole else row.clip_scores.surest_start_s(guess or "")
    end_s = duration_s if is_whole else min(duration_s, start_s + clip_s)
    return ClipToJudge(
        id=row.id,
        path=row.path,
        digest=row.digest or "",
        start_s=start_s,
        end_s=end_s,
        part_start_s=0.0 if is_whole else round(start_s, 6),
        part_end_s=0.0 if is_whole else round(end_s, 6),
        duration_s=row.duration_s,
        label=guess,
        confidence=confidence,
        human_label=row.human_label,
    )
