"""The foot below the rows of `clfd results`, and the hint where there are none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from storage.export.results_request import ResultsRequest
from storage.export.results_source import ResultsSource
from storage.queries.clips import SEVERAL_CLIPS
from storage.queries.counts import Number, others_of
from storage.queries.filters import Filters, Status, path_prefix
from storage.queries.result import Result
from storage.values.decision import NONE, SEPARATOR, UNKNOWN, says_nothing
from storage.values.text import counted, listed, visible

FOOT_SECONDS, _OTHERS_SECONDS = 0.1, 0.03


def foot_of(source: ResultsSource, request: ResultsRequest, shown: int, n_read: int = 0) -> str:
    """`50 of 400 done (3 failed, 2 pending)`; of clips, how many recordings were read for them."""
    filters = request.filters
    if request.clips:
        total = f"{counted(shown, 'clip')}, {counted(n_read, 'recording')} read"
    elif filters.history:
        total = f"{shown} of {counted(_count(source, filters), 'prediction')}"
    else:
        is_any, number = filters.status == "all", _number(source, request, shown)
        total = f"{shown} of "
        total += counted(number, "recording") if is_any else f"{number} {filters.status}"
    others = _others(source, filters, _OTHERS_SECONDS)
    states = ", ".join(f"{number} {state}" for state, number in others.items())
    return f"{total} ({states})" if states else total


def remark_on_length(rows: Sequence[Result]) -> str:
    """What one answer over many clips does not tell."""
    n_clips = max(row.n_clips for row in rows)
    if n_clips < SEVERAL_CLIPS:
        return ""
    return f"\nanswers are of up to {n_clips} clips; --clips shows when"


def _number(source: ResultsSource, request: ResultsRequest, shown: int) -> Number:
    """Less than a page is all there is; and no fewer than those that are shown."""
    if shown < request.rows_limit or not request.rows_limit:
        return Number(shown)
    found = source.count_in_time(request.filters, FOOT_SECONDS)
    return replace(found, n=max(found.n, shown))


def _count(source: ResultsSource, filters: Filters) -> int:
    return sum(number for _, number in source.count_by(filters, "status"))


def _others(source: ResultsSource, filters: Filters, seconds: float) -> dict[Status, Number]:
    return others_of(filters, lambda wide: source.count_in_time(wide, seconds))


def hint_of(source: ResultsSource, request: ResultsRequest, n_read: int) -> str:
    """What a person who finds nothing probably wants to know."""
    filters = request.filters
    if strange := strange_name(source, filters, request.clips is not None):
        return strange
    if filters.since and filters.until and filters.since >= filters.until:
        return "nothing found: the period ends before it begins; give an earlier --since"
    if strange := _strange_path(source, filters):
        return f"nothing found: {strange}"
    if n_read:
        return f"nothing found: no clip fits, in {counted(n_read, 'recording')}"
    if filters.by_recorded:
        return "nothing found: no recording that tells when it began is of that time"
    if filters.needs_levels and source.has_unmeasured_levels():
        return "nothing found; of what an older version heard no level is known: `clfd rescore`"
    if filters.wrong:
        return "nothing found: no answer that fits differs from what a person says"
    others = ", ".join(f"{n} {state}" for state, n in _others(source, filters, math.inf).items())
    if others:
        return f"nothing found; other recordings: {others} (see --status)"
    if filters == Filters(status=filters.status):
        return source.empty_hint
    return "nothing found; widen the filters"


def strange_name(source: ResultsSource, filters: Filters, is_of_clips: bool) -> str | None:
    """A hint where nothing was found since nothing has the label, or the checkpoint, asked for."""
    labels = _strange_labels(source, filters, is_of_clips)
    strange = labels or _strange_checkpoint(source, filters)
    return strange and f"nothing found: {strange}"


def _strange_labels(source: ResultsSource, filters: Filters, is_of_clips: bool) -> str | None:
    """Of the labels that are asked for, those that nothing has: why, and which there are."""
    rules = source.rules_within(filters.rules)
    known = source.labels_known()
    given = known if is_of_clips else source.labels_given()
    shown = {*given, *([UNKNOWN] * rules.has_thresholds), *([NONE] * (not rules.one_label))}
    strange = [label for label in filters.labels if label not in shown]
    if not strange or not given:
        return None
    if is_of_clips:
        return f"no checkpoint knows {', '.join(strange)}; labels: {listed(given, 50)}"
    hint = "; --clips asks their clips" if {*strange} & {*known} else ""
    if any(SEPARATOR in label for label in strange):
        hint = "; --label takes one of them, and may be repeated for recordings with any"
    elif any(map(says_nothing, strange)):
        hint = f"; what holds nothing is told as {NONE}"
    return (
        f"no recording is labelled {', '.join(strange)}; labels given so far:"
        f" {listed(given, 50)}{hint}"
    )


def _strange_checkpoint(source: ResultsSource, filters: Filters) -> str | None:
    """Of one that has answered nothing: which ones have."""
    asked = filters.checkpoint
    if asked is None or _count(source, Filters("all", checkpoint=asked, history=True)):
        return None
    return (
        f"no checkpoint {asked} has answered; those that have: {source.checkpoints_that_answered()}"
    )


def _strange_path(source: ResultsSource, filters: Filters) -> str | None:
    """Of a glob that fits no path; without a * it was probably meant as a folder."""
    path = filters.path
    if path is None or _count(source, Filters("all", path=path)):
        return None
    shown = visible(path)
    if path_prefix(path) != path:
        return f"no path fits {shown}, and --path is a glob over the whole path in the inbox"
    return (
        f"no path is {shown}, and --path is a glob over the whole path;"
        f" '{shown.rstrip('/')}/*' is all that lies in the folder"
    )
