"""Which labels were heard how often, when, where and how surely: what a report counts.

Recordings are counted by the database. Runs of neighbouring clips are read, as for
`clfd results --clips --merge-gap 0`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from heapq import heappush, heappushpop
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from storage.queries.clips import ClipOptions, Span, clip_at
from storage.queries.figures.statistics import (
    BINS,
    ConfidenceBin,
    Sample,
    answers_in_time,
    by_site,
    extremes,
)
from storage.queries.filters import Filters
from storage.queries.result import Result
from storage.queries.results import clip_spans, files_of
from storage.values.timestamps import from_stamp

SHOWN_SAMPLES = 6  # most and least confident answers, each
RUNS = ClipOptions(merge_gap_seconds=0.0)
FULL_HOUR = timedelta(hours=1)


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
class Activity:
    """What was counted: labels, the commonest first; sites, the busiest first; and examples."""

    labels: tuple[LabelActivity, ...]
    sites: tuple[SiteActivity, ...]
    surest: tuple[Sample, ...]
    least_sure: tuple[Sample, ...]


def activity_of_recordings(
    connection: Connection, filters: Filters, bins: Iterable[ConfidenceBin]
) -> Activity:
    """Each recording with its one answer; `bins` are those of their confidences."""
    labels: dict[str, LabelActivity] = {}
    times = answers_in_time(connection, filters, by_minute=not _has_full_hours(filters))
    for label, moment, number in times:
        activity, local = labels.setdefault(label, LabelActivity(label)), moment.astimezone()
        activity.by_hour[local.hour] += number
        activity.by_day[local.date()] += number
    for bin_ in bins:
        activity = labels.setdefault(bin_.label, LabelActivity(bin_.label))
        activity.by_confidence[bin_.bin] += bin_.number
        activity.confidences += bin_.total
    sites = _failed_by_site(connection, filters)
    for site, label, number in by_site(connection, filters.with_status("done")):
        sites.setdefault(site, SiteActivity(site)).labels[label] += number
    surest, least_sure = extremes(connection, filters, SHOWN_SAMPLES)
    return Activity(_commonest(labels), _busiest(sites), tuple(surest), tuple(least_sure))


def activity_of_runs(connection: Connection, filters: Filters) -> Activity:
    """Each run of neighbouring clips of one label, at the time at which it begins.

    Label and confidence are asked of runs; the confidence of one is that of its surest clip.
    """
    labels: dict[str, LabelActivity] = {}
    sites = _failed_by_site(connection, filters)
    surest, least_sure = _Highest(SHOWN_SAMPLES), _Highest(2 * SHOWN_SAMPLES)
    for one, span in clip_spans(connection, filters, RUNS):
        run = _sample(one, span, filters)
        activity = labels.setdefault(run.label, LabelActivity(run.label))
        local = from_stamp(run.moment).astimezone()
        activity.by_hour[local.hour] += 1
        activity.by_day[local.date()] += 1
        activity.by_confidence[min(int(run.confidence * BINS), BINS - 1)] += 1
        activity.confidences += run.confidence
        sites.setdefault(one.site, SiteActivity(one.site)).labels[run.label] += 1
        surest.add(run.confidence, run)
        least_sure.add(-run.confidence, run)
    most = surest.samples
    least = [run for run in least_sure.samples if run not in most][:SHOWN_SAMPLES]
    files = files_of(connection, [run.id for run in (*most, *least)])
    most, least = ([replace(run, file=files[run.id]) for run in some] for some in (most, least))
    return Activity(_commonest(labels), _busiest(sites), tuple(most), tuple(least))


class _Highest:
    """The samples of the highest ranks; of equals those that came first."""

    def __init__(self, limit: int) -> None:
        self._limit, self._came = limit, 0
        self._heap: list[tuple[float, int, Sample]] = []

    def add(self, rank: float, sample: Sample) -> None:
        self._came += 1
        push = heappush if len(self._heap) < self._limit else heappushpop
        push(self._heap, (rank, -self._came, sample))

    @property
    def samples(self) -> list[Sample]:
        return [sample for *_, sample in sorted(self._heap, reverse=True)]


def _sample(one: Result, span: Span, filters: Filters) -> Sample:
    """Its file is looked up for those that are shown."""
    moment = clip_at(one, span.start_s) if filters.by_recorded else one.classified_at
    return Sample(
        *(one.id, one.path, span.label, span.confidence, moment or "", one.duration_s),
        *(one.digest or "", Path(), span.start_s, span.end_s),
    )


def combined(label: str, many: Iterable[LabelActivity]) -> LabelActivity:
    """Several labels added up, under one name."""
    one = LabelActivity(label)
    for each in many:
        one.by_hour += each.by_hour
        one.by_day += each.by_day
        one.by_confidence += each.by_confidence
        one.confidences += each.confidences
    return one


def _failed_by_site(connection: Connection, filters: Filters) -> dict[str, SiteActivity]:
    failed = replace(filters, status="failed", labels=(), min_confidence=None)
    found: dict[str, SiteActivity] = {}
    for site, _, number in by_site(connection, failed):
        found.setdefault(site, SiteActivity(site)).failed += number
    return found


def _commonest(labels: Mapping[str, LabelActivity]) -> tuple[LabelActivity, ...]:
    return tuple(sorted(labels.values(), key=lambda each: (-each.number, each.label)))


def _busiest(sites: Mapping[str, SiteActivity]) -> tuple[SiteActivity, ...]:
    """None where no path names one."""
    if not any(sites):
        return ()
    return tuple(sorted(sites.values(), key=lambda each: (-each.done - each.failed, each.site)))


def _has_full_hours(filters: Filters) -> bool:
    """Whether local hours begin with those of UTC."""
    ends = (from_stamp(end).astimezone() for end in (filters.since, filters.until) if end)
    return all(not (end.utcoffset() or FULL_HOUR) % FULL_HOUR for end in ends)
