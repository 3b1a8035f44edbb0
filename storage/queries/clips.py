"""Clips of recordings: which there are, how runs of them are joined, and which fit the filters.

One rule for `clfd results --clips`, its counts, the formats of other programs and `clfd clips`:
label, confidence and, with `by_recorded`, the time are asked of each clip, all else of its
recording. No index knows the clips, so those of every recording that is left are read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from storage.database.tables import recording
from storage.queries.filters import Filters
from storage.queries.result import Result, labels_of
from storage.values.decision import DisplayRules, most_probable
from storage.values.timestamps import from_stamp, later

_ROUNDING_SECONDS = 1e-6  # three times 0.7 s is not quite 2.1 s
_ZONE_CHANGE_SECONDS = 3600.0  # by which a clock on the wall may be set back while it records


@dataclass(frozen=True)
class ClipOptions:
    """`top` labels of each clip, the most probable first.

    With a gap, clips of one label that begin so many seconds or less after the end of the one
    before are one row: from the first to the last, with the confidence and the scores of the
    surest of them.
    """

    top: int = 1
    merge_gap_seconds: float | None = None


class Span(NamedTuple):
    """One label of one clip, or of several that were joined."""

    start_s: float
    end_s: float
    label: str
    confidence: float
    scores: tuple[float, ...]


def recordings_to_read(connection: Connection, filters: Filters) -> Filters:
    """The filters that recordings must fit, for any clip of theirs to fit the given ones."""
    wide = replace(filters, labels=(), min_confidence=None, max_confidence=None)
    if not filters.by_recorded:
        return wide
    since = filters.since
    if since is not None:
        longest_s = connection.scalar(select(func.max(recording.c.duration_s))) or 0.0
        since = _moved(since, -longest_s - _ZONE_CHANGE_SECONDS)
    until = filters.until and _moved(filters.until, _ZONE_CHANGE_SECONDS)
    return replace(wide, since=since, until=until)


def has_time_asked(one: Result, filters: Filters) -> bool:
    """Whether any of it lies in the time; of those that `recordings_to_read` leaves, not all do."""
    first_s, behind_s = _window(one, filters)
    return behind_s > 0 and (first_s <= 0 or first_s < (one.duration_s or 0.0))


def rows_of(one: Result, options: ClipOptions, filters: Filters) -> Iterator[Result]:
    """The clips of a recording that fit, in the order of their start, as rows of the results."""
    for span in spans_of(one, options, filters):
        yield replace(
            one,
            label=span.label,
            confidence=span.confidence,
            packed_scores=struct.pack(f"<{len(span.scores)}f", *span.scores),
            packed_clip_scores=None,
            start_s=span.start_s,
            end_s=span.end_s,
            clip_at=clip_at(one, span),
        )


def spans_of(one: Result, options: ClipOptions, filters: Filters) -> Iterator[Span]:
    """The same, as numbers: the confidence is asked of clips as they are joined."""
    first_s, behind_s = _window(one, filters)
    spans: Iterable[Span] = (
        span
        for span in _all_spans(one, options.top, filters.rules)
        if first_s <= span.start_s < behind_s
        and (not filters.labels or span.label in filters.labels)
    )
    if options.merge_gap_seconds is not None:
        spans = merged(spans, options.merge_gap_seconds)
    return (span for span in spans if filters.fit_answer(span.label, span.confidence))


def clip_at(one: Result, span: Span) -> str | None:
    """When a clip began, as a stamp in UTC; None where the recording does not tell."""
    return None if one.recorded_at is None else later(one.recorded_at, span.start_s)


def merged(spans: Iterable[Span], gap_seconds: float) -> list[Span]:
    """Spans of one recording, in the order of their start, with the runs of each label joined."""
    joined: list[Span] = []
    newest: dict[str, int] = {}  # the last run of a label, as its place in `joined`
    widest = gap_seconds + _ROUNDING_SECONDS
    for span in spans:
        place = newest.get(span.label)
        if place is not None and span.start_s - joined[place].end_s <= widest:
            run = joined[place]
            surest = max(run, span, key=lambda one: one.confidence)
            joined[place] = surest._replace(start_s=run.start_s, end_s=span.end_s)
        else:
            newest[span.label] = len(joined)
            joined.append(span)
    return joined


def _all_spans(one: Result, top: int, rules: DisplayRules) -> Iterator[Span]:
    """One for each of the `top` labels of each clip, in time; none without an answer."""
    if one.labels_json is None or not one.packed_clip_scores:
        return
    labels = labels_of(one.labels_json)
    hop_s, clip_s = one.clip_hop_seconds or 0.0, one.clip_seconds or 0.0
    recording_end_s = one.duration_s or float("inf")
    clips = struct.iter_unpack(f"<{len(labels)}e", one.packed_clip_scores)
    for position, scores in enumerate(clips):
        start_s = position * hop_s
        end_s = min(start_s + clip_s, recording_end_s)
        for best in most_probable(scores, top):
            label = rules.label_of(labels[best], scores[best]) or ""
            yield Span(start_s, end_s, label, scores[best], scores)


def _window(one: Result, filters: Filters) -> tuple[float, float]:
    """The time that is asked for, in seconds from the beginning of the recording."""
    if not filters.by_recorded or one.recorded_at is None:
        return 0.0, float("inf")
    began = from_stamp(one.recorded_at)
    since, until = filters.since, filters.until
    first_s = (from_stamp(since) - began).total_seconds() if since else 0.0
    behind_s = (from_stamp(until) - began).total_seconds() if until else float("inf")
    return first_s, behind_s


def _moved(moment: str, seconds: float) -> str | None:
    with suppress(OverflowError):  # at the ends of the calendar nothing bounds it
        return later(moment, seconds)
    return None
