"""Clips of recordings: which there are, how runs of them are joined, and which fit the filters.

One rule for `clfd results --clips`, its counts, the formats of other programs, `clfd clips` and
`clfd report --clips`:
label, confidence and, with `by_recorded`, the time are asked of each clip, all else of its
recording. What people say of a part is said of the clips with the same sound. No index knows the
clips, so those of every recording that is left are read.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from storage.database.tables import recording
from storage.labels.overlap import labelled_within
from storage.queries.filters import Filters
from storage.queries.result import Result, label_list
from storage.values.clip_scores import LabelledPart
from storage.values.decision import (
    Decision,
    DisplayRules,
    human_text,
    most_probable,
    written,
)
from storage.values.timestamps import from_stamp, later

SEVERAL_CLIPS = 3  # from so many on one answer tells little of when
_ROUNDING_SECONDS = 1e-6  # three times 0.7 s is not quite 2.1 s
_ZONE_CHANGE_SECONDS = 3600.0  # by which a clock on the wall may be set back while it records


@dataclass(frozen=True)
class ClipOptions:
    """`top` labels of each clip, the most probable first; 1 in a multi task: all that are told.

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
    human_label: str | None
    is_wrong: bool  # of a clip of which a person says something else than is told
    labels: tuple[tuple[str, float], ...]  # all that are told of the surest clip


def longest_recording(connection: Connection) -> float:
    """In seconds."""
    return connection.scalar(select(func.max(recording.c.duration_s))) or 0.0


def recordings_to_read(
    filters: Filters, options: ClipOptions | None, longest: Callable[[], float]
) -> Filters:
    """The filters that recordings must fit, for any clip of theirs to fit the given ones.

    Without options of all those that are asked about, also such as have no clip that fits.
    `longest` tells how many seconds the longest recording has.
    """
    wide = replace(filters, labels=(), min_confidence=None, max_confidence=None)
    if options is not None:
        wide = replace(wide, clip_labels=_indexed_labels(filters, options))
    wide = replace(wide, wrong=False, labelled=filters.wrong or filters.labelled)
    if not filters.by_recorded:
        return wide
    since = filters.since
    if since is not None:
        since = _moved(since, -longest() - _ZONE_CHANGE_SECONDS)
    until = filters.until and _moved(filters.until, _ZONE_CHANGE_SECONDS)
    return replace(wide, since=since, until=until)


def _indexed_labels(filters: Filters, options: ClipOptions) -> tuple[str, ...]:
    """The labels that are asked for; of such as are not told of a clip the findings know none."""
    return filters.indexed_labels if options.top == 1 else ()


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
            human_parts=None,
            human_label=span.human_label,
            labels=label_list(span.labels),
            start_s=span.start_s,
            end_s=span.end_s,
            clip_at=clip_at(one, span.start_s),
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
    return (
        span
        for span in spans
        if filters.fit_answer(span.label, span.confidence) and (span.is_wrong or not filters.wrong)
    )


def rows_with_parts(one: Result, options: ClipOptions, filters: Filters) -> Iterator[Result]:
    """As `rows_of`; in place of clips whose sound a person labelled the labelled parts that fit."""
    rows = rows_of(one, options, filters)
    if not one.human_parts:
        return rows
    found, parts = list(rows), one.labelled_parts()
    places = ((row.start_s or 0.0, row.end_s or 0.0) for row in found)
    part_of = labelled_within(places, parts)
    left = [row for row, part in zip(found, part_of, strict=True) if part is None]
    first_s, behind_s = _window(one, filters)
    within = (part for part in parts if first_s <= part.start_s < behind_s)
    fitting = [
        row
        for row in (_row_of(one, part, filters.rules) for part in within)
        if filters.fit_answer(row.label, row.confidence)
        and not (filters.wrong and not differs(row.human_label, row))
    ]
    return iter(sorted([*fitting, *left], key=lambda row: row.start_s or 0.0))


def clip_at(one: Result, start_s: float) -> str | None:
    """When a clip began, as a stamp in UTC; None where the recording does not tell."""
    return None if one.recorded_at is None else later(one.recorded_at, start_s)


def merged(spans: Iterable[Span], gap_seconds: float) -> list[Span]:
    """Spans of one recording, in the order of their start, with the runs of each label joined."""
    joined: list[Span] = []
    # The last run of a label, and of what a person says of it, as its place in `joined`.
    newest: dict[tuple[str, str | None], int] = {}
    widest = gap_seconds + _ROUNDING_SECONDS
    for span in spans:
        labels = span.label, span.human_label
        at = newest.get(labels)
        if at is not None and span.start_s - joined[at].end_s <= widest:
            run = joined[at]
            surest = max(run, span, key=lambda one: one.confidence)
            is_wrong = run.is_wrong or span.is_wrong
            joined[at] = surest._replace(start_s=run.start_s, end_s=span.end_s, is_wrong=is_wrong)
        else:
            newest[labels] = len(joined)
            joined.append(span)
    return joined


def _all_spans(one: Result, top: int, rules: DisplayRules) -> Iterator[Span]:
    """One for each of the `top` labels of each clip, in time; none without an answer.

    Who says what the recording is as a whole, and is answered the same, says nothing of its clips.
    """
    scores, behind_s = one.clip_scores, one.duration_s or math.inf
    labels, task, clip_s = scores.labels, scores.task, one.clip_seconds or 0.0
    parts, is_whole_wrong = one.labelled_parts(), differs(one.human_label, one)
    part_of = labelled_within(((at, at + clip_s) for at, _ in scores.rows()), parts)
    for (start_s, values), part in zip(scores.rows(), part_of, strict=True):
        end_s = min(start_s + clip_s, behind_s)
        human_label = part.label if part else one.human_label
        decision = rules.decide_clip(labels, values, task, scores.own)
        is_judged = human_label is not None and (part is not None or is_whole_wrong)
        is_wrong = is_judged and human_text(human_label or "") != decision.text
        shown = list(decision.labels[: top if top > 1 else None] or [decision[:2]])
        if task == "single" and top > 1:
            further = most_probable(values, top)[1:]
            shown += [rules.decide(labels[at], values[at], own=scores.own)[:2] for at in further]
        for label, confidence in shown:
            yield Span(
                *(start_s, end_s, label or "", confidence or 0.0, values, human_label, is_wrong),
                decision.labels,
            )


def differs(human_label: str | None, row: Result) -> bool:
    """Whether a person says something else than is told of a recording, or of a clip."""
    label_text = written(str(one["label"]) for one in row.labels or ()) or row.label
    return human_label is None or human_text(human_label) != label_text


def _row_of(one: Result, part: LabelledPart, rules: DisplayRules) -> Result:
    decision = one.clip_scores.decide(*part.span, rules) or Decision(None, None)
    return replace(
        one,
        start_s=part.start_s,
        end_s=part.end_s,
        label=decision.label,
        confidence=decision.confidence,
        labels=label_list(decision.labels),
        human_label=part.label,
        clip_at=clip_at(one, part.start_s),
    )


def _window(one: Result, filters: Filters) -> tuple[float, float]:
    """The time that is asked for, in seconds from the beginning of the recording."""
    if not filters.by_recorded or one.recorded_at is None:
        return 0.0, math.inf
    began = from_stamp(one.recorded_at)
    since, until = filters.since, filters.until
    first_s = (from_stamp(since) - began).total_seconds() if since else 0.0
    behind_s = (from_stamp(until) - began).total_seconds() if until else math.inf
    return first_s, behind_s


def _moved(moment: str, seconds: float) -> str | None:
    with suppress(OverflowError):  # at the ends of the calendar nothing bounds it
        return later(moment, seconds)
    return None
