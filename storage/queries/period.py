"""The figures of a period: labels over time, confidence, failures, and drift."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import Connection

from storage.queries.counts import count
from storage.queries.filters import Filters, Status
from storage.queries.statistics import (
    BINS,
    ConfidenceBin,
    Failures,
    KnownCheckpoint,
    Sample,
    answers_in_time,
    by_site,
    confidence_bins,
    extremes,
    failures,
    known_checkpoint,
)
from storage.values.text import printable
from storage.values.timestamps import from_stamp

SHOWN_SAMPLES = 6  # most and least confident recordings, each
STATES: tuple[Status, ...] = ("done", "failed", "pending")
FULL_HOUR = timedelta(hours=1)
# Changes that are marked; of a rare label a smaller one, where it is twice as common.
MOVED_SHARE, MOVED_RARE_SHARE, MOVED_CONFIDENCE = 0.1, 0.02, 0.1


@dataclass
class LabelActivity:
    """One label: how often, when by the local clock, and with which confidences."""

    label: str
    by_hour: Counter[int] = field(default_factory=Counter)
    by_day: Counter[date] = field(default_factory=Counter)
    by_confidence: Counter[int] = field(default_factory=Counter)
    confidences: float = 0.0  # their sum

    @property
    def number(self) -> int:
        return self.by_hour.total()

    @property
    def mean_confidence(self) -> float:
        return self.confidences / max(1, self.by_confidence.total())

    def as_json(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "number": self.number,
            "mean_confidence": round(self.mean_confidence, 6),
            "by_hour": [self.by_hour[hour] for hour in range(24)],
            "by_day": {str(day): number for day, number in sorted(self.by_day.items())},
            "by_confidence": [self.by_confidence[at] for at in range(BINS)],
        }


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


@dataclass
class SiteActivity:
    """One site, or what lies outside of all: its answers by label, and its failures."""

    site: str
    labels: Counter[str] = field(default_factory=Counter)
    failed: int = 0

    @property
    def done(self) -> int:
        return self.labels.total()

    def as_json(self) -> dict[str, Any]:
        labels = dict(self.labels.most_common())
        return {"site": self.site, "done": self.done, "failed": self.failed, "labels": labels}


@dataclass(frozen=True)
class Period:
    """Everything that the page of a period shows, but audio."""

    filters: Filters
    inboxes: tuple[str, ...]
    checkpoint: str | None
    counts: Mapping[str, int]
    labels: tuple[LabelActivity, ...]  # the commonest first
    failures: tuple[Failures, ...]
    drift: Drift | None
    no_drift: str | None  # why there is none
    surest: tuple[Sample, ...]
    least_sure: tuple[Sample, ...]
    sample_rate_hz: int | None  # of the checkpoint
    corrected: int = 0
    labelled: int = 0  # by people, rightly answered ones too
    sites: tuple[SiteActivity, ...] = ()
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
        return not (self.counts["done"] if self.filters.labels else any(self.counts.values()))

    @property
    def all_labels(self) -> LabelActivity:
        return combined("all labels", self.labels)

    def as_json(self) -> dict[str, Any]:
        asked = self.filters
        return {
            "since": asked.since,
            "until": asked.until,
            "label": list(asked.labels),
            "path": asked.path,
            "time": "recorded" if asked.by_recorded else "classified",
            "inboxes": list(self.inboxes),
            "checkpoint": self.checkpoint,
            "counts": dict(self.counts),
            "corrected": self.corrected,
            "labelled": self.labelled,
            "ignored": dict(self.ignored),
            "sites": [each.as_json() for each in self.sites],
            "labels": [each.as_json() for each in self.labels],
            "failures": [asdict(each) for each in self.failures],
            "drift": self.drift and self.drift.as_json(),
            "most_confident": [self._sample(each) for each in self.surest],
            "least_confident": [self._sample(each) for each in self.least_sure],
        }

    def _sample(self, sample: Sample) -> dict[str, Any]:
        return {
            "id": sample.id,
            "path": sample.path,
            "label": sample.label,
            "confidence": round(sample.confidence, 6),
            "recorded_at" if self.filters.by_recorded else "classified_at": sample.moment,
            "duration_s": sample.duration_s,
            "digest": sample.digest,
            "file": printable(str(sample.file)),
        }


def period_figures(
    connection: Connection, filters: Filters, inboxes: Iterable[str], active: str | None
) -> Period:
    """The figures of a period from the ledger. The filters have a beginning and an end."""
    known = known_checkpoint(connection, active) if active else None
    bins = list(confidence_bins(connection, replace(filters, labels=())))
    drift, no_drift = drift_of(known, bins)
    surest, least_sure = extremes(connection, filters, SHOWN_SAMPLES)
    selected = [bin_ for bin_ in bins if not filters.labels or bin_.label in filters.labels]
    return Period(
        filters=filters,
        inboxes=tuple(inboxes),
        checkpoint=active,
        counts=_counts(connection, filters),
        labels=tuple(_label_activity(connection, filters, selected)),
        failures=tuple(failures(connection, filters)),
        drift=drift,
        no_drift=no_drift,
        surest=tuple(surest),
        least_sure=tuple(least_sure),
        sample_rate_hz=_sample_rate_hz(known),
        corrected=count(connection, replace(filters, status="done", wrong=True)),
        labelled=count(connection, replace(filters, status="done", labelled=True)),
        sites=tuple(_sites(connection, filters)),
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


def combined(label: str, many: Iterable[LabelActivity]) -> LabelActivity:
    """Several labels added up, under one name."""
    one = LabelActivity(label)
    for each in many:
        one.by_hour += each.by_hour
        one.by_day += each.by_day
        one.by_confidence += each.by_confidence
        one.confidences += each.confidences
    return one


def _counts(connection: Connection, filters: Filters) -> dict[str, int]:
    """Failed and pending recordings have no label, so that filter is left out for them."""
    wide = replace(filters, labels=())
    return {
        state: count(connection, replace(filters if state == "done" else wide, status=state))
        for state in STATES
    }


def _label_activity(
    connection: Connection, filters: Filters, bins: Iterable[ConfidenceBin]
) -> list[LabelActivity]:
    found: dict[str, LabelActivity] = {}
    times = answers_in_time(connection, filters, by_minute=not _has_full_hours(filters))
    for label, moment, number in times:
        activity, local = found.setdefault(label, LabelActivity(label)), moment.astimezone()
        activity.by_hour[local.hour] += number
        activity.by_day[local.date()] += number
    for bin_ in bins:
        activity = found.setdefault(bin_.label, LabelActivity(bin_.label))
        activity.by_confidence[bin_.bin] += bin_.number
        activity.confidences += bin_.total
    return sorted(found.values(), key=lambda each: (-each.number, each.label))


def _sites(connection: Connection, filters: Filters) -> list[SiteActivity]:
    """The busiest first; none where no path names one."""
    found: dict[str, SiteActivity] = {}
    for site, state, label, number in by_site(connection, filters):
        activity = found.setdefault(site, SiteActivity(site))
        if state == "failed":
            activity.failed += number
        else:
            activity.labels[label or ""] += number
    if not any(found):
        return []
    return sorted(found.values(), key=lambda each: (-each.done - each.failed, each.site))


def _has_full_hours(filters: Filters) -> bool:
    """Whether local hours begin with those of UTC."""
    ends = (from_stamp(end).astimezone() for end in (filters.since, filters.until) if end)
    return all(not (end.utcoffset() or FULL_HOUR) % FULL_HOUR for end in ends)


def _sample_rate_hz(known: KnownCheckpoint | None) -> int | None:
    audio = known.facts.get("audio_format") if known else None
    rate = audio.get("sample_rate_hz") if isinstance(audio, dict) else None
    return rate if isinstance(rate, int) else None
