"""A period in one sentence: what was heard how often, mostly where and when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from storage.queries.period import LabelActivity, SiteActivity
from storage.values.text import counted

MAX_NAMED = 3  # labels that the sentence names


def summary(labels: Sequence[LabelActivity], sites: Sequence[SiteActivity]) -> str:
    """`siren in 9 recordings, 6 of them at mic01, most at 22 h; dog in 2 recordings, at 3 h.`

    `labels` begin with the commonest. A place or an hour is named where it has more than any other.
    Empty without labels.
    """
    parts = [", ".join(_of_label(each, sites)) for each in labels[:MAX_NAMED]]
    if more := len(labels) - MAX_NAMED:
        parts += [counted(more, "further label")] * (more > 0)
    return "; ".join(parts) + "." * bool(parts)


def _of_label(activity: LabelActivity, sites: Sequence[SiteActivity]) -> Iterator[str]:
    yield f"{activity.label} in {counted(activity.number, 'recording')}"
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
