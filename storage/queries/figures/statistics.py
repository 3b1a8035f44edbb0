"""Counts over a period: made by the database, never row by row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, func, select

from storage.database.decision_sql import CURRENT, each_label, told_confidence, told_label
from storage.database.functions import whole_part
from storage.database.tables import checkpoint, folder_expression, prediction, recording
from storage.queries.clips import SEVERAL_CLIPS
from storage.queries.filters import ANSWER, RECORDED, Filters, by_index, clauses
from storage.queries.results import files_of
from storage.values.clip_scores import ClipScores
from storage.values.timestamps import as_stamp, from_stamp

BINS = 20  # of confidence from 0 to 1

_CHUNK_ROWS = 1000
_HOUR, _MINUTE = len("2026-01-31T12"), len("2026-01-31T12:00")
_row = recording.c


@dataclass(frozen=True, slots=True)
class ConfidenceBin:
    """Answers of one label by one checkpoint whose confidence lies in one of BINS equal steps."""

    label: str
    checkpoint_id: int
    bin: int
    number: int
    total: float  # of their confidences


@dataclass(frozen=True, slots=True)
class Failures:
    """How many failed for one reason, and the latest of them."""

    kind: str
    number: int
    path: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One answered recording, or a run of its clips.

    Its file lies in its inbox, or where it was archived.
    """

    id: int
    path: str
    label: str
    confidence: float
    moment: str  # when it was answered, or began where that is asked for
    duration_s: float | None
    digest: str
    file: Path
    start_s: float = 0.0  # where the clip begins that has the label most confidently, or the run
    end_s: float | None = None  # of a run of clips


@dataclass(frozen=True, slots=True)
class KnownCheckpoint:
    """A checkpoint that a daemon has served; `facts` are what its file holds as metadata."""

    id: int
    name: str
    facts: dict[str, Any]


def answers_in_time(
    connection: Connection, filters: Filters, by_minute: bool = False
) -> Iterator[tuple[str, datetime, int]]:
    """Label, the beginning of an hour, and how many were answered, or recorded, within it.

    `by_minute` is for clocks that differ from UTC by half hours; those of recorders may.
    """
    column = _row.recorded_at if filters.by_recorded else _row.answered_at
    begin = func.substr(column, 1, _MINUTE if by_minute or filters.by_recorded else _HOUR)
    told, shown, _ = each_label(filters.rules, CURRENT, recording)
    keys = shown, begin, column.endswith("Z")
    counted = select(*keys, func.count()).select_from(told).group_by(*keys)
    for label, begun, is_utc, number in _read(connection, _of_answers(counted, filters)):
        moment = as_stamp(f"{begun}Z" if is_utc else begun, filters.rules.zone)
        if moment is not None:
            yield label, from_stamp(moment), number


def confidence_bins(connection: Connection, filters: Filters) -> Iterator[ConfidenceBin]:
    """Answers by label, checkpoint and bin of confidence; once for each label that is told."""
    told, shown, confidence = each_label(filters.rules, CURRENT, recording)
    keys = shown, _row.checkpoint_id, whole_part(confidence * BINS)
    counted = select(*keys, func.count(), func.sum(confidence)).select_from(told).group_by(*keys)
    for label, checkpoint_id, at, number, total in _read(connection, _of_answers(counted, filters)):
        yield ConfidenceBin(label, checkpoint_id, min(at, BINS - 1), number, total)


def by_site(connection: Connection, filters: Filters) -> Iterator[tuple[str, str, int]]:
    """Site and label of recordings, and how many there are; of failed ones the label is empty.

    A site is the first folder, so folders will do, unless a pattern looks at whole paths.
    """
    has_pattern = bool(filters.rules.site_pattern)
    told, shown, _ = each_label(filters.rules, CURRENT, recording)
    keys = _row.path_text if has_pattern else folder_expression(), shown
    query = select(*keys, func.count()).select_from(told)
    query = query.where(*clauses(filters)).group_by(*keys)
    for path, label, number in _read(connection, query):
        path = path if has_pattern else f"{path}/".removeprefix("./")
        yield filters.rules.site_of(path), label or "", number


def has_long_recordings(connection: Connection, filters: Filters) -> bool:
    """Whether any answer pools several clips."""
    answer = prediction.c  # float32 (L,) and float16 (C, L)
    is_long = 2 * func.length(answer.clip_scores) >= SEVERAL_CLIPS * func.length(answer.scores)
    query = select(_row.id).join(prediction, answer.id == _row.prediction_id).where(is_long)
    return connection.scalar(_of_answers(query, filters).limit(1)) is not None


def failures(connection: Connection, filters: Filters) -> list[Failures]:
    """By reason, the commonest first. Of the filters those of time and path count."""
    wanted = replace(filters, status="failed", labels=())
    kind = func.coalesce(_row.error_class, "")
    counted = select(kind, func.count(), func.max(_row.id)).where(*clauses(wanted)).group_by(kind)
    found = connection.execute(counted).all()
    details = select(_row.id, _row.path_text, _row.error).where(
        _row.id.in_([latest for *_, latest in found])
    )
    detail_of = {row[0]: (row[1], row[2]) for row in connection.execute(details)}
    by_kind = [Failures(kind, number, *detail_of[latest]) for kind, number, latest in found]
    return sorted(by_kind, key=lambda each: (-each.number, each.kind))


def extremes(
    connection: Connection, filters: Filters, limit: int
) -> tuple[list[Sample], list[Sample]]:
    """The most and the least confident answers, at most `limit` each; none is in both."""
    surest = _first(connection, filters, limit, descending=True)
    # Twice the limit, since those among the most confident are left out.
    least = _first(connection, filters, 2 * limit, descending=False)
    least = [each for each in least if each not in surest][:limit]
    samples = _samples(connection, filters, [*surest, *least])
    return [samples[each] for each in surest], [samples[each] for each in least]


def known_checkpoint(connection: Connection, name: str) -> KnownCheckpoint | None:
    """The checkpoint of this name; None where no daemon has served it yet."""
    columns = checkpoint.c.id, checkpoint.c.facts
    found = connection.execute(select(*columns).where(checkpoint.c.name == name)).first()
    if found is None:
        return None
    facts = json.loads(found.facts)
    return KnownCheckpoint(found.id, name, facts if isinstance(facts, dict) else {})


def _of_answers(query: Select[Any], filters: Filters) -> Select[Any]:
    index = RECORDED if filters.by_recorded else ANSWER
    return by_index(query, index).where(*clauses(replace(filters, status="done")))


def _read(connection: Connection, query: Select[Any]) -> Iterator[Any]:
    yield from connection.execute(query, execution_options={"yield_per": _CHUNK_ROWS})


def _first(connection: Connection, filters: Filters, limit: int, descending: bool) -> list[int]:
    """The newest first among equals."""
    sure = _row.confidence.desc() if descending else _row.confidence.asc()
    query = _of_answers(select(_row.id), filters).order_by(sure, _row.id.desc()).limit(limit)
    return list(connection.scalars(query))


def _samples(connection: Connection, filters: Filters, ids: list[int]) -> dict[int, Sample]:
    moment = _row.recorded_at if filters.by_recorded else _row.answered_at
    shown = (told(filters.rules, CURRENT) for told in (told_label, told_confidence))
    columns = _row.id, _row.path_text, *shown, moment, _row.duration_s
    answer = prediction.c
    query = (
        select(*columns, _row.digest, checkpoint.c.labels)
        .add_columns(answer.clip_scores, answer.clip_seconds, answer.clip_hop_seconds)
        .join(prediction, answer.id == _row.prediction_id)
        .join(checkpoint, checkpoint.c.id == answer.checkpoint_id)
        .where(_row.id.in_(ids))
    )
    files = files_of(connection, ids)
    found = {}
    for row in connection.execute(query):
        values: list[Any] = [*row[:7]]
        if filters.by_recorded:
            values[4] = as_stamp(values[4], filters.rules.zone)
        start_s = ClipScores(*row[7:]).surest_start_s(values[2])
        found[row.id] = Sample(*values, files[row.id], start_s)  # type: ignore[call-arg]
    return found
