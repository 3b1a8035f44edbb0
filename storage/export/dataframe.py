"""`clfd.results`: the rows of `clfd results` as a pandas DataFrame."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from storage.database.engine import open_database
from storage.errors import StorageError
from storage.export.results_remarks import strange_name
from storage.export.results_source import LedgerSource
from storage.home.checkpoint_folder import resolve_reference
from storage.home.paths import resolve_home
from storage.queries.clips import ClipOptions
from storage.queries.filters import SORTS, STATES, Filters, Sort, Status
from storage.queries.result import CLIP_COLUMNS, COLUMN_TABLE, COLUMNS, MOMENTS, Result
from storage.queries.results import results as results_of
from storage.settings.loading import effective_database, effective_display_rules
from storage.values.text import printable_path
from storage.values.timestamps import parse_when, stamp

if TYPE_CHECKING:
    import pandas as pd

SCORE = "score_{label}"
_PANDAS = {"integer": "Int64", "float": "float64", "moment": "datetime64[us, UTC]"}
# Named, so that a frame without rows has those of one with rows.
TYPES = {column.name: _PANDAS[column.kind] for column in COLUMN_TABLE if column.kind in _PANDAS}
When = str | datetime
Clock = Literal["classified", "recorded"]


def results_frame(
    home: str | Path | None = None,
    *,
    label: str | Iterable[str] = (),
    min_confidence: float | None = None,
    max_confidence: float | None = None,
    since: When | None = None,
    until: When | None = None,
    time: Clock = "classified",
    path: str | None = None,
    wrong: bool = False,
    min_level: float | None = None,
    max_level: float | None = None,
    clipped: bool = False,
    status: Status = "done",
    checkpoint: str | None = None,
    history: bool = False,
    clips: bool = False,
    scores: bool = False,
    sort: Sort = "newest",
    limit: int = 0,
    min_novelty: float | None = None,
    labelled: bool = False,
    unlabelled: bool = False,
    author: str | None = None,
) -> pd.DataFrame:
    """Every argument but `scores` means what the option of `clfd results` of that name does.

    Args:
        home: as `--home`; None is CLFD_HOME, or the user's data folder.
        label: one label, or several.
        since, until: as on the command line (`"2h"`, `"2026-01-31"`), or a datetime; one without
            a zone is local.
        scores: also a column `score_LABEL` for every label of the checkpoints that answered;
            missing where a checkpoint does not know the label.
        limit: 0 is all.

    Returns:
        A row for each recording, prediction (`history`) or clip (`clips`; label, confidence and
        `time="recorded"` are asked of each clip), and the columns of the CSV; `classified_at`,
        `recorded_at` and `clip_at` are times in UTC. Without a row it has its columns all the same.

    Warns where nothing is found since no answer has the label, or is of the checkpoint.
    Raises StorageError, also for words that are no status, no order and no time; ValueError for
    confidences outside 0 to 1, levels that are no number and a negative limit.
    """
    _require_within(0, 1, min_confidence=min_confidence, max_confidence=max_confidence)
    _require_within(0, 1, min_novelty=min_novelty)
    _require_within(-math.inf, math.inf, min_level=min_level, max_level=max_level)
    _require_within(0, math.inf, limit=limit)
    _require("status", status, (*STATES, "all"))
    _require("sort", sort, SORTS)
    _require("time", time, ("classified", "recorded"))
    folder = resolve_home(None if home is None else Path(home))
    filters = Filters(
        status=status,
        labels=(label,) if isinstance(label, str) else tuple(label),
        min_confidence=min_confidence,
        max_confidence=max_confidence,
        since=_moment(since),
        until=_moment(until),
        path=None if path is None else printable_path(os.fsencode(path)),
        checkpoint=resolve_reference(folder, checkpoint),
        history=history,
        wrong=wrong,
        min_level=min_level,
        max_level=max_level,
        clipped=clipped,
        min_novelty=min_novelty,
        by_recorded=time == "recorded",
        labelled=labelled,
        unlabelled=unlabelled,
        author=author,
        rules=effective_display_rules(folder),
    )
    columns = CLIP_COLUMNS if clips else COLUMNS
    database = open_database(effective_database(folder), "reader")
    with database, database.transaction() as it:
        found = results_of(it, filters, sort, limit, ClipOptions() if clips else None)
        frame = frame_of(found, columns, scores)
        hint = strange_name(LedgerSource(it), filters, clips) if frame.empty else None
    if hint:
        warnings.warn(hint, stacklevel=2)
    return frame


def frame_of(
    found: Iterable[Result], columns: tuple[str, ...] = COLUMNS, scores: bool = False
) -> pd.DataFrame:
    """A row for each result; the columns, then scores in the order in which labels were met."""
    import pandas as pd

    rows = [_as_row(result, columns, scores) for result in found]
    names = list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))
    frame = pd.DataFrame(rows, columns=names)
    named = [name for name in MOMENTS if name in columns]
    moments = {name: pd.to_datetime(frame[name], utc=True, format="ISO8601") for name in named}
    types = {name: kind for name, kind in TYPES.items() if name in columns}
    return frame.assign(**moments).astype(types)


def _as_row(result: Result, columns: tuple[str, ...], scores: bool) -> dict[str, object]:
    row = result.record(columns)
    if scores:
        given = (result.scores() or {}).items()
        row |= {SCORE.format(label=label): value for label, value in given}
    return row


def _moment(when: When | None) -> str | None:
    if when is None:
        return None
    if isinstance(when, datetime):
        return stamp(when.astimezone(UTC))
    try:
        return stamp(parse_when(when, datetime.now(UTC)))
    except ValueError as error:
        raise StorageError(str(error)) from error


def _require(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise StorageError(f"{name} {value!r} is none of {', '.join(allowed)}")


def _require_within(least: float, most: float, **values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not least <= value <= most:
            raise ValueError(f"{name}={value!r} does not lie in {least} to {most}")
