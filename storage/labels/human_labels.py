"""What people say of a recording and of its parts, in the SQL of a query over recordings."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, and_, func, or_, select

from storage.database.decision_sql import AnswerColumns, told_labels
from storage.database.functions import json_group_array, json_object
from storage.database.tables import checkpoint, human_label, prediction, recording
from storage.values.decision import DisplayRules

_row, _labelled = recording.c, human_label.c
_IS_WHOLE = and_(_labelled.start_s == 0, _labelled.end_s == 0)


def has_human_label(author: str | None = None) -> ColumnElement[bool]:
    """For an index: few recordings have one. With an author: one of theirs."""
    given = select(_labelled.digest)
    return _row.digest.in_(given if author is None else given.where(_labelled.author == author))


def has_no_human_label() -> ColumnElement[bool]:
    """Asked row by row; what nobody has read has no digest, and no label."""
    return ~select(_labelled.digest).where(_labelled.digest == _row.digest).exists()


def human_labels() -> ScalarSelect[Any]:
    """What a person says that a recording as a whole is."""
    whole = select(_labelled.label).where(_labelled.digest == _row.digest, _IS_WHOLE)
    return whole.scalar_subquery()


def human_parts() -> ScalarSelect[Any]:
    """What people say of its parts, as JSON: SQLite lists them in the order of the key."""
    end_s = func.nullif(_labelled.end_s, 0)
    one = json_object("start_s", _labelled.start_s, "end_s", end_s, "label", _labelled.label)
    parts = select(func.nullif(json_group_array(one), "[]")).where(
        _labelled.digest == _row.digest, ~_IS_WHOLE
    )
    return parts.correlate(recording).scalar_subquery()


def differs_from_human(rules: DisplayRules, answer: AnswerColumns) -> ColumnElement[bool]:
    """A person says something else than is told, or of a part than its clips were answered."""
    own, labels = prediction.alias(), checkpoint.alias()
    clips = own.c.clip_scores, own.c.clip_seconds, own.c.clip_hop_seconds
    decided = labels.c.labels, *clips, labels.c.task, labels.c.thresholds
    parts = human_parts()
    is_wrong = select(func.is_part_wrong(*decided, parts, rules.thresholds_json)).where(
        own.c.id == answer.prediction_id,
        labels.c.id == own.c.checkpoint_id,
        parts.is_not(None),
    )
    part = is_wrong.correlate(recording, prediction).scalar_subquery()
    return or_(func.human_text(human_labels()) != told_labels(rules, answer), part == 1)
