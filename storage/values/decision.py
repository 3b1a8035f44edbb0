"""From scores to what is told: the labels above their thresholds, or `none`, or `unknown`.

Pure Python. Its twin is `storage.database.decision_sql`, so that rows, counts and filters decide
alike; `storage.values.findings` says by which probabilities a recording is decided.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import nlargest
from typing import Literal, NamedTuple

Task = Literal["single", "multi"]

NONE, UNKNOWN = "none", "unknown"
# Labels that say that nothing was found; in a multi task nothing needs no label.
NEGATIVE_LABELS = (NONE, "background", "noise", "silence")
MULTI_THRESHOLD = 0.5  # of a label that neither the settings nor the checkpoint give one
# Of a multi task, a label below is kept in the scores only: most labels of a clip are near zero.
FLOOR = 0.05
LONG_CLIPS = 3  # a recording of more is decided by its clips
SEPARATOR = ";"  # between several labels in one cell


def most_probable(scores: Sequence[float], n: int = 1) -> list[int]:
    """The positions of the `n` highest scores, highest first; of equal ones the first."""
    if n == 1:
        return [scores.index(max(scores))]  # a fifth of the time, and the clips of years are many
    return nlargest(n, range(len(scores)), key=scores.__getitem__)


@lru_cache(maxsize=4096)  # asked of the labels of every answer
def says_nothing(label: str, words: tuple[str, ...] = NEGATIVE_LABELS) -> bool:
    """Whether a label is NONE or another of the words for nothing, capitals or not."""
    return label.casefold() in [NONE, *(word.casefold() for word in words)]


def is_negative(label: str, task: str = "single") -> bool:
    """Whether a network of this task says by the label that nothing was found."""
    return task == "single" and says_nothing(label)


class Decision(NamedTuple):
    """What is told of a recording or a clip: the surest label, and all above their thresholds.

    Without any the label is NONE or UNKNOWN, and the confidence that of the most probable label.
    """

    label: str | None
    confidence: float | None
    labels: tuple[tuple[str, float], ...] = ()

    @property
    def text(self) -> str | None:
        """All labels as people write them (see `written`), or the one word."""
        return written(label for label, _ in self.labels) if self.labels else self.label


@dataclass(frozen=True)
class DisplayRules:
    """Display rules for stored predictions: time zone, thresholds, site.

    `thresholds` of the settings go before those of the checkpoint. In a single task a label
    without any has `unknown_below`, in a multi task MULTI_THRESHOLD. `zone` is that of clocks
    which do not tell it (see `timestamps`). `site_pattern` is a regular expression with a group
    `site`, looked for in the path; without one a site is the first folder. `one_label`: every
    answer of the ledger is one label without a threshold of the checkpoint, so that tables need
    not be joined to decide. What is more novel than `novel_above` is UNKNOWN. Every answer of the
    ledger that is NONE or UNKNOWN is less sure than `nothing_below`, and every label that is told
    at least as sure as `told_from`.
    """

    zone: str = "local"
    thresholds: tuple[tuple[str, float], ...] = ()
    unknown_below: float = 0.0
    site_pattern: str = ""
    novel_above: float = 1.0
    one_label: bool = False
    nothing_below: float = math.inf
    told_from: float = 0.0

    @property
    def has_thresholds(self) -> bool:
        return bool(self.thresholds) or self.unknown_below > 0 or self.novel_above < 1

    @property
    def tells_stored_label(self) -> bool:
        """Whether what is told is what stands in the column `label`."""
        return self.one_label and not self.has_thresholds

    def threshold_of(self, label: str, task: str, own: Mapping[str, float]) -> float:
        """`own` are the thresholds of the checkpoint."""
        default = MULTI_THRESHOLD if task == "multi" else self.unknown_below
        return _by_label(self.thresholds).get(label, own.get(label, default))

    def decide(
        self,
        label: str | None,
        confidence: float | None,
        candidates: Iterable[tuple[str, float]] | None = None,
        task: str = "single",
        own: Mapping[str, float] | None = None,
        novelty: float | None = None,
    ) -> Decision:
        """`label` is the most probable one; `candidates` are all that may be told, with it.

        None: the label alone.
        """
        if label is None:
            return Decision(None, confidence)
        if novelty is not None and novelty > self.novel_above:
            return Decision(UNKNOWN, confidence)
        each = [(label, confidence or 0.0)] if candidates is None else candidates
        above = [pair for pair in each if pair[1] >= self.threshold_of(pair[0], task, own or {})]
        found = [pair for pair in above if not is_negative(pair[0], task)]
        if not found:
            return Decision(NONE if above or task == "multi" else UNKNOWN, confidence)
        found.sort(key=lambda pair: (-pair[1], pair[0] != label, pair[0]))
        return Decision(*found[0], tuple(found))

    def decide_clip(
        self,
        labels: Sequence[str],
        scores: Sequence[float],
        task: str = "single",
        own: Mapping[str, float] | None = None,
    ) -> Decision:
        """One clip has one label in a single task."""
        best = most_probable(scores)[0]
        candidates = None
        if task == "multi":
            pairs = zip(labels, scores, strict=True)
            candidates = [pair for pair in pairs if pair[1] >= FLOOR]
        return self.decide(labels[best], scores[best], candidates, task, own)

    @property
    def thresholds_json(self) -> str:
        """For a function of SQL; see `rules_of`."""
        return json.dumps([self.thresholds, self.unknown_below])

    def site_of(self, path: str) -> str:
        """Empty where the path names none."""
        if self.site_pattern:
            match = re.search(self.site_pattern, path)
            return (match["site"] or "") if match else ""
        first, slash, _ = path.partition("/")
        return first if slash else ""


@lru_cache
def rules_of(thresholds_json: str) -> DisplayRules:
    thresholds, below = json.loads(thresholds_json)
    return DisplayRules(thresholds=tuple(map(tuple, thresholds)), unknown_below=below)


@lru_cache
def _by_label(thresholds: tuple[tuple[str, float], ...]) -> dict[str, float]:
    return dict(thresholds)


@lru_cache(maxsize=64)
def own_thresholds(thresholds_json: str | None) -> dict[str, float]:
    """Those of a checkpoint, as the ledger keeps them."""
    return json.loads(thresholds_json or "{}")  # type: ignore[no-any-return]


def threshold_in(thresholds_json: str, label: str) -> float | None:
    """The checkpoint's threshold of a label, for SQL."""
    return own_thresholds(thresholds_json).get(label)


def candidates_in(findings_json: str | None) -> list[tuple[str, float]] | None:
    """Labels with their probabilities, as a list in JSON."""
    if findings_json is None:
        return None
    return [(label, probability) for label, probability in json.loads(findings_json)]


# --- several labels in one text


def written(labels: Iterable[str]) -> str:
    """Several labels as people write them: `a;b`, in alphabetical order, each once."""
    return SEPARATOR.join(sorted(set(labels)))


def labels_in(text: str) -> list[str]:
    return [label for part in text.split(SEPARATOR) if (label := part.strip())]


def human_text(text: str) -> str:
    """What a person says, to be compared with `Decision.text`: every word for nothing is NONE."""
    return written(label for label in labels_in(text) if not is_negative(label)) or NONE


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
