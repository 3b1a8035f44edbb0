"""A period in one sentence: what was heard how often, mostly where and when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from storage.queries.figures.activity import Activity, LabelActivity, SiteActivity
from storage.values.text import counted

MAX_NAMED = 3  # labels that the sentence names


def summary(activity: Activity, by_clips: bool = False) -> str:
    """`siren in 9 recordings, 6 of them at mic01, most at 22 h; dog in 2 recordings, at 3 h.`

    Of runs of clips `siren 9 times, ...`. A place or an hour is named where it has more than any
    other. Empty without labels.
    """
    labels, sites = activity.labels, activity.sites
    parts = [", ".join(_of_label(each, sites, by_clips)) for each in labels[:MAX_NAMED]]
    if more := len(labels) - MAX_NAMED:
        parts += [counted(more, "further label")] * (more > 0)
    return "; ".join(parts) + "." * bool(parts)


def _of_label(
    activity: LabelActivity, sites: Sequence[SiteActivity], by_clips: bool
) -> Iterator[str]:
    often = counted(activity.number, "time" if by_clips else "recording")
    yield f"{activity.label} {often}" if by_clips else f"{activity.label} in {often}"
    site, number = _foremost({each.site: each.labels[activity.label] for each in sites})
    if site:
        yield f"at {site}" if number == activity.number else f"{number} of them at {site}"
    hour, number = _foremost(activity.by_hour)
    if hour is not None:
        yield f"at {hour} h" if number == activity.number else f"most at {hour} h"


def _foremost(numbers: Mapping[Any, int]) -> tuple[Any, int]:
    """The one that has more than any other; None where two share the first place."""
    first, second = sorted([*numbers.values(), 0, 0], reverse=True)[:2]
    if first == second:
        return None, 0
    return next(key for key, number in numbers.items() if number == first), first
