"""From scores to the label that is shown: the most probable ones, and what is `unknown`.

Pure Python, with its twin in SQL beside it, so that rows, counts and filters decide alike.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import nlargest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

UNKNOWN = "unknown"
NONE = "none"  # a recording in which no label was found


def most_probable(scores: Sequence[float], n: int = 1) -> list[int]:
    """The positions of the `n` highest scores, highest first; of equal ones the first."""
    if n == 1:
        return [scores.index(max(scores))]  # a fifth of the time, and the clips of years are many
    return nlargest(n, range(len(scores)), key=scores.__getitem__)


@dataclass(frozen=True)
class DisplayRules:
    """Display rules for stored predictions: time zone, `unknown` threshold, site.

    An answer less confident than its label's threshold, or else `unknown_below`, is UNKNOWN.
    `zone` is that of clocks which do not tell it (see `timestamps`). `site_pattern` is a regular
    expression with a group `site`, looked for in the path; without one a site is the first folder.
    """

    zone: str = "local"
    thresholds: tuple[tuple[str, float], ...] = ()
    unknown_below: float = 0.0
    site_pattern: str = ""

    @property
    def knows_unknown(self) -> bool:
        return bool(self.thresholds) or self.unknown_below > 0

    def label_of(self, label: str | None, confidence: float | None) -> str | None:
        if label is None or not self.knows_unknown:
            return label
        least = dict(self.thresholds).get(label, self.unknown_below)
        return UNKNOWN if (confidence or 0.0) < least else label

    def label_sql(
        self, label: ColumnElement[Any], confidence: ColumnElement[Any]
    ) -> ColumnElement[Any]:
        """`label_of` for columns of the ledger."""
        if not self.knows_unknown:
            return label
        from sqlalchemy import case, literal

        below = literal(self.unknown_below)
        cases = [(label == name, least) for name, least in self.thresholds]
        least = case(*cases, else_=below) if cases else below
        return case((confidence < least, UNKNOWN), else_=label)

    @property
    def unknown_json(self) -> str:
        """What is `unknown`, for a function of SQL; see `rules_of`."""
        return json.dumps([self.thresholds, self.unknown_below])

    def site_of(self, path: str) -> str:
        """Empty where the path names none."""
        if self.site_pattern:
            match = re.search(self.site_pattern, path)
            return (match["site"] or "") if match else ""
        first, slash, _ = path.partition("/")
        return first if slash else ""


@lru_cache
def rules_of(unknown_json: str) -> DisplayRules:
    thresholds, below = json.loads(unknown_json)
    return DisplayRules(thresholds=tuple(map(tuple, thresholds)), unknown_below=below)


def check_site_pattern(pattern: str) -> None:
    """Raises ValueError saying what is expected."""
    try:
        names = re.compile(pattern).groupindex
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression ({error})") from error
    if pattern and "site" not in names:
        raise ValueError(f"{pattern!r} has no group named site; write one, like (?P<site>S\\d+)_")


def thresholds_of(texts: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Of `siren=0.8` and the like, each label once. Raises ValueError saying what is expected."""
    least: dict[str, float] = {}
    for text in texts:
        label, sign, number = (part.strip() for part in text.rpartition("="))
        try:
            confidence = float(number)
        except ValueError:
            confidence = -1.0
        if not sign or not label or not 0 <= confidence <= 1:
            raise ValueError(f"{text!r} is no threshold; write LABEL=CONFIDENCE, like siren=0.8")
        if label in least:
            raise ValueError(f"{label} has two thresholds; keep one of them")
        least[label] = confidence
    return tuple(least.items())
