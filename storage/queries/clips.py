"""The clips of a recording, as rows: the labels of each, and runs of one label joined to one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage.queries.result import Result
    from storage.values.decision import DisplayRules


@dataclass(frozen=True)
class ClipOptions:
    """`top` labels of each clip, the most probable first.

    With a gap, clips of one label that begin so many seconds or less after the end of the one
    before are one row: from the first to the last, with the confidence and the scores of the
    surest of them.
    """

    top: int = 1
    merge_gap_seconds: float | None = None

    def rows_of(self, recording: Result, manner: DisplayRules) -> Iterator[Result]:
        """In the order of their start; nothing where there is no answer."""
        rows = recording.clips(self.top)
        if manner.knows_unknown:
            rows = (replace(row, label=manner.label_of(row.label, row.confidence)) for row in rows)
        return rows if self.merge_gap_seconds is None else merged(rows, self.merge_gap_seconds)


def merged(rows: Iterable[Result], gap_seconds: float) -> Iterator[Result]:
    """Rows of one recording, in the order of their start, with the runs of each label joined."""
    joined: list[Result] = []
    newest: dict[str | None, int] = {}  # the last run of a label, as its place in `joined`
    for row in rows:
        place = newest.get(row.label)
        if place is not None and (row.start_s or 0) - (joined[place].end_s or 0) <= gap_seconds:
            joined[place] = _joined(joined[place], row)
        else:
            newest[row.label] = len(joined)
            joined.append(row)
    yield from joined


def _joined(run: Result, row: Result) -> Result:
    surest = max(run, row, key=lambda one: one.confidence or 0)
    return replace(surest, start_s=run.start_s, end_s=row.end_s)
