"""What a checkpoint answered to the recordings it was judged by: what its daily work is held to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from classifier.inference.predictor import Scores

KEY = "profile"


@dataclass(frozen=True)
class AnswerProfile:
    """The share of recordings that got a label, and the mean confidence of these."""

    share: float
    mean_confidence: float | None


@dataclass(frozen=True)
class Profile:
    """Of so many recordings, by label."""

    recordings: int
    labels: Mapping[str, AnswerProfile]


def profile_of(scores: Scores, labels: Sequence[str]) -> dict[str, Any]:
    """The profile of scores (R, L) as a checkpoint carries it."""
    answer, confidence = scores.argmax(axis=1), scores.max(axis=1)
    told = {}
    for at, label in enumerate(labels):
        sure = confidence[answer == at]
        mean = round(float(sure.mean()), 6) if len(sure) else None
        told[label] = {
            "share": round(float(np.mean(answer == at)), 6),
            "mean_confidence": mean,
        }
    return {"recordings": len(scores), "labels": told}


def read_profile(facts: Mapping[str, Any]) -> Profile | None:
    """That of a checkpoint's facts; None where there is none, or nothing that could be one.

    A file may come from anywhere and say anything.
    """
    try:
        said = facts["training"][KEY]
        labels = {
            str(label): AnswerProfile(
                float(each["share"]),
                None if each["mean_confidence"] is None else float(each["mean_confidence"]),
            )
            for label, each in said["labels"].items()
        }
        profile = Profile(int(said["recordings"]), labels)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    return profile if profile.recordings > 0 and all(map(_is_sound, labels.values())) else None


def _is_sound(each: AnswerProfile) -> bool:
    confidence = each.mean_confidence
    return 0 <= each.share <= 1 and (confidence is None or 0 <= confidence <= 1)
