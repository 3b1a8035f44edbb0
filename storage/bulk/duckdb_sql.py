"""What is told of the rows of a work folder, and which fit the filters, in the SQL of DuckDB.

The twin of `storage.values.decision`, of `storage.database.decision_sql` and of
`storage.queries.filters`, for the answers of one checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from storage.database.functions import glob_expression
from storage.queries.filters import SECONDS, Axis, Filters, Sort
from storage.values.decision import (
    MULTI_THRESHOLD,
    NEGATIVE_LABELS,
    NONE,
    UNKNOWN,
    DisplayRules,
)
from storage.values.timestamps import to_local_time

# As the ledger has them, in the names of the columns of a part.
_SORTS = {
    "newest": "moment DESC, id DESC",
    "oldest": "moment, id",
    "confidence": "confidence DESC NULLS LAST, id DESC",
    "path": "path, id",
}
_AXES = {
    "status": "state",
    "checkpoint": "checkpoint",
    "day": "moment[1:10]",
    "folder": "coalesce(nullif(parse_dirpath(path_text, 'forward_slash'), ''), '.')",
    "site": "CASE WHEN contains(path_text, '/') THEN split_part(path_text, '/', 1) END",
}


@dataclass(frozen=True)
class AnswerSql:
    """Expressions over the columns of a part, for the answers of one checkpoint."""

    task: str
    thresholds: Mapping[str, float]  # the checkpoint's own
    rules: DisplayRules

    def where(self, filters: Filters) -> str:
        return " AND ".join(self._clauses(filters)) or "true"

    def order(self, sort: Sort) -> str:
        return _SORTS[sort]

    def counted(self, axis: Axis) -> str:
        """What rows are counted by; a row comes once for each of its labels."""
        return f"unnest(coalesce({self._shown}, [NULL]))" if axis == "label" else _AXES[axis]

    # --- the filters

    def _clauses(self, filters: Filters) -> Iterator[str]:
        yield f"state IN {_list(filters.states)}"
        if filters.labels:
            yield self._has_label(filters.labels)
        if filters.clip_labels:
            known = "list_transform(labels, lambda one: one.label)"
            yield f"list_has_any({known}, {_array(filters.clip_labels)})"
        if filters.checkpoint is not None:
            start = quoted(filters.checkpoint)
            yield f"(starts_with(checkpoint, {start}) OR starts_with(checkpoint_digest, {start}))"
        yield from _range(self._confidence, filters.min_confidence, filters.max_confidence)
        yield from _range("coalesce(novelty, 0)", filters.min_novelty, None)
        yield from _range("rms_dbfs", filters.min_level, filters.max_level)
        if filters.clipped:
            yield "clipped > 0"
        if filters.path is not None:
            yield _fits_glob(filters.path)
        yield from _recorded(filters) if filters.by_recorded else _moments(filters)

    def _has_label(self, labels: tuple[str, ...]) -> str:
        """Lists are made where there are several labels, which takes ten times as long."""
        in_list = f"list_has_any({self._shown}, {_array(labels)})"
        if {NONE, UNKNOWN} & {*labels}:
            return in_list
        is_surest = f"label IN {_list(labels)} AND {self._is_told('label', 'confidence')}"
        if self.rules.novel_above < 1:
            is_surest += f" AND NOT {self._is_too_novel}"
        return f"(({is_surest}) OR (len(labels) > 1 AND {in_list}))"

    # --- what is told

    def _threshold(self, label: str) -> str:
        default = MULTI_THRESHOLD if self.task == "multi" else self.rules.unknown_below
        known = {**self.thresholds, **dict(self.rules.thresholds)}
        cases = "".join(f" WHEN {quoted(one)} THEN {least!r}" for one, least in known.items())
        return f"CASE {label}{cases} ELSE {default!r} END" if cases else repr(default)

    def _is_told(self, label: str, probability: str) -> str:
        is_told = f"{probability} >= {self._threshold(label)}"
        if self.task != "multi":
            is_told += f" AND lower({label}) NOT IN {_list(NEGATIVE_LABELS)}"
        return is_told

    @property
    def _is_too_novel(self) -> str:
        return f"coalesce(novelty, 0) > {self.rules.novel_above!r}"

    @property
    def _told(self) -> str:
        """A list of findings."""
        found = f"list_filter(labels, lambda one: {self._is_told('one.label', 'one.probability')})"
        if self.rules.novel_above < 1:
            return f"CASE WHEN {self._is_too_novel} THEN [] ELSE {found} END"
        return found

    @property
    def _nothing(self) -> str:
        """What is told where no label is."""
        says_so = "true"
        if self.task != "multi":
            is_above = f"one.probability >= {self._threshold('one.label')}"
            negative = f"lower(one.label) IN {_list(NEGATIVE_LABELS)}"
            says_so = f"len(list_filter(labels, lambda one: {is_above} AND {negative})) > 0"
        if self.rules.novel_above < 1:
            says_so = f"{says_so} AND NOT {self._is_too_novel}"
        return f"CASE WHEN {says_so} THEN {quoted(NONE)} ELSE {quoted(UNKNOWN)} END"

    @property
    def _shown(self) -> str:
        """A list of labels, of NONE or UNKNOWN alone; NULL without an answer."""
        told = f"list_transform({self._told}, lambda one: one.label)"
        return (
            f"CASE WHEN label IS NOT NULL THEN coalesce(nullif({told}, []), [{self._nothing}]) END"
        )

    @property
    def _confidence(self) -> str:
        """That of the surest label that is told."""
        surest = f"list_max(list_transform({self._told}, lambda one: one.probability))"
        return f"coalesce({surest}, confidence)"


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _list(texts: Iterable[str]) -> str:
    return f"({', '.join(map(quoted, texts))})"


def _array(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(quoted, texts))}]"


def _range(value: str, least: float | None, most: float | None) -> Iterator[str]:
    if least is not None:
        yield f"{value} >= {least!r}"
    if most is not None:
        yield f"{value} <= {most!r}"


def _moments(filters: Filters) -> Iterator[str]:
    if filters.since is not None:
        yield f"moment >= {quoted(filters.since)}"
    if filters.until is not None:
        yield f"moment < {quoted(filters.until)}"


def _recorded(filters: Filters) -> Iterator[str]:
    """By UTC, or by the clock on the wall where the recorder tells no zone."""
    yield "recorded_at IS NOT NULL"
    for sign, moment in ((">=", filters.since), ("<", filters.until)):
        if moment is not None:
            wall = quoted(to_local_time(moment, filters.rules.zone))
            utc = quoted(moment[:SECONDS])
            is_utc = "ends_with(recorded_at, 'Z')"
            yield f"recorded_at {sign} CASE WHEN {is_utc} THEN {utc} ELSE {wall} END"


def _fits_glob(glob: str) -> str:
    path = "root || '/' || path_text" if glob.startswith("/") else "path_text"
    if "[" in glob:
        return f"regexp_matches({path}, {quoted('(?s)' + glob_expression(glob))})"
    pattern = glob  # LIKE takes a third of the time
    for sign, like in (("\\", "\\\\"), ("%", "\\%"), ("_", "\\_"), ("*", "%"), ("?", "_")):
        pattern = pattern.replace(sign, like)
    return f"{path} LIKE {quoted(pattern)} ESCAPE '\\'"
