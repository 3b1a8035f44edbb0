"""The figures of a period: labels over time, confidence, failures, and drift."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import Connection

from storage.queries.counts import count
from storage.queries.figures.activity import (
    Activity,
    LabelActivity,
    activity_of_recordings,
    activity_of_runs,
    combined,
)
from storage.queries.figures.statistics import (
    ConfidenceBin,
    Failures,
    KnownCheckpoint,
    Sample,
    confidence_bins,
    failures,
    has_long_recordings,
    known_checkpoint,
)
from storage.queries.filters import Filters, Status
from storage.values.decision import DisplayRules
from storage.values.text import printable
from storage.values.timestamps import from_stamp

STATES: tuple[Status, ...] = ("done", "failed", "pending")
# Changes that are marked; of a rare label a smaller one, where it is twice as common.
MOVED_SHARE, MOVED_RARE_SHARE, MOVED_CONFIDENCE = 0.1, 0.02, 0.1


class LabelProfile(BaseModel):
    """The share of validation recordings that got a label, and the mean confidence of these."""

    share: float = Field(ge=0, le=1)
    mean_confidence: float | None = Field(ge=0, le=1)


class Profile(BaseModel):
    """What a checkpoint answered to the recordings that it was judged by."""

    recordings: int = Field(gt=0)
    labels: dict[str, LabelProfile]


@dataclass(frozen=True)
class LabelDrift:
    """A label now and among the validation recordings; a confidence is None without answers."""

    label: str
    share: float
    validation_share: float
    mean_confidence: float | None
    validation_confidence: float | None

    @property
    def has_moved(self) -> bool:
        now, then = self.mean_confidence, self.validation_confidence
        is_less_sure = now is not None and then is not None and then - now >= MOVED_CONFIDENCE
        low, high = sorted((self.share, self.validation_share))
        limit = MOVED_RARE_SHARE if high >= 2 * low else MOVED_SHARE
        return is_less_sure or high - low >= limit


@dataclass(frozen=True)
class Drift:
    """The active checkpoint's answers in the period against those it was judged by.

    `distance` is the share of recordings that would need another label for the shares to agree.
    """

    recordings: int
    validation_recordings: int
    distance: float
    labels: tuple[LabelDrift, ...]

    def as_json(self) -> dict[str, Any]:
        labels = [{**asdict(each), "moved": each.has_moved} for each in self.labels]
        return {**asdict(self), "labels": labels}


@dataclass(frozen=True)
class Period:
    """Everything that the page of a period shows, but audio.

    `activity` is that of runs of clips with `by_clips`; all other figures are of recordings.
    """

    filters: Filters
    inboxes: tuple[str, ...]
    checkpoint: str | None
    counts: Mapping[str, int]
    activity: Activity
    failures: tuple[Failures, ...]
    drift: Drift | None
    no_drift: str | None  # why there is none
    sample_rate_hz: int | None  # of the checkpoint
    corrected: int = 0
    labelled: int = 0  # by people, rightly answered ones too
    by_clips: bool = False
    has_long_recordings: bool = False
    ignored: Mapping[str, int] = field(default_factory=dict)  # now, by suffix

    @property
    def since(self) -> datetime:
        return from_stamp(self.filters.since or "").astimezone()

    @property
    def until(self) -> datetime:
        return from_stamp(self.filters.until or "").astimezone()

    @property
    def is_empty(self) -> bool:
        """Failed and pending recordings have no label: they do not count with a label filter."""
        has_other = not self.filters.labels and any(self.counts.values())
        return not (self.activity.labels or has_other)

    @property
    def all_labels(self) -> LabelActivity:
        return combined("all labels", self.activity.labels)

    def as_json(self) -> dict[str, Any]:
        asked = self.filters
        return {
            "since": asked.since,
            "until": asked.until,
            "label": list(asked.labels),
            "path": asked.path,
            "clips": self.by_clips,
            "min_confidence": asked.min_confidence,
            "time": "recorded" if asked.by_recorded else "classified",
            "inboxes": list(self.inboxes),
            "checkpoint": self.checkpoint,
            "counts": dict(self.counts),
            "corrected": self.corrected,
            "labelled": self.labelled,
            "ignored": dict(self.ignored),
            "sites": [each.as_json() for each in self.activity.sites],
            "labels": [each.as_json() for each in self.activity.labels],
            "failures": [asdict(each) for each in self.failures],
            "drift": self.drift and self.drift.as_json(),
            "most_confident": [self._sample(each) for each in self.activity.surest],
            "least_confident": [self._sample(each) for each in self.activity.least_sure],
        }

    def _sample(self, sample: Sample) -> dict[str, Any]:
        began = "clip_at" if self.by_clips else "recorded_at"
        place = {"start_s": sample.start_s, "end_s": sample.end_s} if self.by_clips else {}
        return {
            "id": sample.id,
            "path": sample.path,
            "label": sample.label,
            "confidence": round(sample.confidence, 6),
            began if self.filters.by_recorded else "classified_at": sample.moment,
            "duration_s": sample.duration_s,
            "digest": sample.digest,
            "file": printable(str(sample.file)),
            **place,
        }


def period_figures(
    connection: Connection,
    filters: Filters,
    inboxes: Iterable[str],
    active: str | None,
    by_clips: bool = False,
) -> Period:
    """The figures of a period from the ledger. The filters have a beginning and an end.

    With `by_clips` their labels and confidence are asked of runs of clips, and of no recording.
    """
    known = known_checkpoint(connection, active) if active else None
    filters = filters.within(connection)
    asked = replace(filters, labels=(), min_confidence=None) if by_clips else filters
    bins = list(confidence_bins(connection, replace(asked, labels=())))
    # The validation recordings were counted by the most probable label, whatever is told.
    stored = replace(asked, labels=(), rules=DisplayRules(one_label=True))
    drift, no_drift = drift_of(known, confidence_bins(connection, stored) if known else ())
    if by_clips:
        activity = activity_of_runs(connection, filters)
    else:
        selected = [bin_ for bin_ in bins if not filters.labels or bin_.label in filters.labels]
        activity = activity_of_recordings(connection, filters, selected)
    return Period(
        filters=filters,
        inboxes=tuple(inboxes),
        checkpoint=active,
        counts=_counts(connection, asked),
        activity=activity,
        failures=tuple(failures(connection, asked)),
        drift=drift,
        no_drift=no_drift,
        sample_rate_hz=_sample_rate_hz(known),
        corrected=count(connection, replace(asked, status="done", wrong=True)),
        labelled=count(connection, replace(asked, status="done", labelled=True)),
        by_clips=by_clips,
        has_long_recordings=not by_clips and has_long_recordings(connection, asked),
    )


def read_profile(facts: Mapping[str, Any]) -> Profile | None:
    """The profile among a checkpoint's facts; None where there is none, or no valid one.

    A file may come from anywhere and say anything.
    """
    try:
        return Profile.model_validate(facts["training"]["profile"])
    except (KeyError, TypeError, ValueError):
        return None


def drift_of(
    known: KnownCheckpoint | None, bins: Iterable[ConfidenceBin]
) -> tuple[Drift | None, str | None]:
    """The drift, or why it cannot be measured."""
    profile = read_profile(known.facts) if known else None
    if known is None or profile is None:
        name = known.name if known else "the active checkpoint"
        return None, (
            f"no profile: {name} does not say what it answered to the recordings it was judged by"
        )
    numbers: Counter[str] = Counter()
    confidences: defaultdict[str, float] = defaultdict(float)
    for bin_ in bins:
        if bin_.checkpoint_id == known.id:
            numbers[bin_.label] += bin_.number
            confidences[bin_.label] += bin_.total
    if not numbers:
        return None, f"{known.name} has answered nothing in this period"
    total, nothing = numbers.total(), LabelProfile(share=0, mean_confidence=None)
    rows = []
    for label in sorted({*profile.labels, *numbers}):
        number, then = numbers[label], profile.labels.get(label, nothing)
        confidence = confidences[label] / number if number else None
        share = number / total
        rows.append(LabelDrift(label, share, then.share, confidence, then.mean_confidence))
    rows.sort(key=lambda row: (not row.has_moved, -abs(row.share - row.validation_share)))
    distance = sum(abs(row.share - row.validation_share) for row in rows) / 2
    return Drift(total, profile.recordings, distance, tuple(rows)), None


def _counts(connection: Connection, filters: Filters) -> dict[str, int]:
    """Failed and pending recordings have no label, so that filter is left out for them."""
    wide = replace(filters, labels=())
    return {
        state: count(connection, replace(filters if state == "done" else wide, status=state))
        for state in STATES
    }


def _sample_rate_hz(known: KnownCheckpoint | None) -> int | None:
    audio = known.facts.get("audio_format") if known else None
    rate = audio.get("sample_rate_hz") if isinstance(audio, dict) else None
    return rate if isinstance(rate, int) else None
