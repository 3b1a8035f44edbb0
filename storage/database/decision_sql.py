"""What is told of a stored answer, in SQL: the twin of `storage.values.decision`."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    Alias,
    ColumnElement,
    Connection,
    Double,
    FromClause,
    ScalarSelect,
    and_,
    case,
    func,
    literal,
    null,
    or_,
    select,
)

from storage.database.functions import group_concat, json_array, json_group_array
from storage.database.tables import checkpoint, finding, prediction, recording, recording_label
from storage.values.clip_scores import labels_of
from storage.values.decision import (
    FLOOR,
    MULTI_THRESHOLD,
    NEGATIVE_LABELS,
    NONE,
    SEPARATOR,
    UNKNOWN,
    DisplayRules,
    is_negative,
    own_thresholds,
)

_row, _answer, _entry = recording.c, prediction.c, recording_label.c


@dataclass(frozen=True)
class AnswerColumns:
    """The columns that hold an answer: of a recording, of any prediction, or of an index entry."""

    label: ColumnElement[Any]
    confidence: ColumnElement[Any]
    prediction_id: ColumnElement[Any]
    checkpoint_id: ColumnElement[Any]

    @property
    def task(self) -> ScalarSelect[Any]:
        return self._of_checkpoint(checkpoint.c.task)

    @property
    def thresholds(self) -> ScalarSelect[Any]:
        return self._of_checkpoint(checkpoint.c.thresholds)

    @property
    def novelty(self) -> ColumnElement[Any]:
        """0 where nobody knows it."""
        own = prediction.alias("novel")
        query = select(own.c.novelty).where(own.c.id == self.prediction_id)
        return func.coalesce(query.correlate_except(own).scalar_subquery(), 0.0)

    def _of_checkpoint(self, column: ColumnElement[Any]) -> ScalarSelect[Any]:
        query = select(column).where(checkpoint.c.id == self.checkpoint_id)
        return query.correlate_except(checkpoint).scalar_subquery()


CURRENT = AnswerColumns(_row.label, _row.confidence, _row.prediction_id, _row.checkpoint_id)
ENTRY = AnswerColumns(_entry.label, _entry.probability, _row.prediction_id, _entry.checkpoint_id)
STORED = AnswerColumns(_answer.label, _answer.confidence, _answer.id, _answer.checkpoint_id)


def rules_within(connection: Connection, rules: DisplayRules) -> DisplayRules:
    """The rules, with what they need not ask of this ledger."""
    if rules.novel_above < 1:
        return replace(rules, one_label=False, nothing_below=math.inf, told_from=0.0)
    facts = checkpoint.c.one_label, checkpoint.c.task, checkpoint.c.thresholds, checkpoint.c.labels
    known = connection.execute(select(*facts)).all()
    thresholds, says_nothing = [least for _, least in rules.thresholds], not known
    for _, task, own, labels in known:
        thresholds += own_thresholds(own).values()
        thresholds.append(MULTI_THRESHOLD if task == "multi" else rules.unknown_below)
        names = labels_of(labels)
        says_nothing |= any(name in (NONE, UNKNOWN) or is_negative(name, task) for name in names)
    return replace(
        rules,
        one_label=all(has_one for has_one, *_ in known),
        nothing_below=math.inf if says_nothing else max(thresholds),
        told_from=min(thresholds, default=0.0),
    )


def hides_labels(connection: Connection, rules: DisplayRules) -> bool:
    """Whether a threshold lies below the floor, where the ledger keeps no findings."""
    query = select(checkpoint.c.thresholds).where(checkpoint.c.task == "multi")
    given = dict(rules.thresholds)
    each = [{**own_thresholds(own), **given} for own in connection.scalars(query)]
    return any(least < FLOOR for thresholds in each for least in thresholds.values())


def threshold(
    rules: DisplayRules, label: ColumnElement[Any], answer: AnswerColumns
) -> ColumnElement[Any]:
    """`DisplayRules.threshold_of`."""
    below: ColumnElement[Any] = literal(rules.unknown_below)
    if not rules.one_label:
        default = case((answer.task == "multi", MULTI_THRESHOLD), else_=below)
        own = func.threshold_in(answer.thresholds, label, type_=Double)
        below = case((answer.thresholds.is_(None), default), else_=func.coalesce(own, default))
    cases = [(label == name, least) for name, least in rules.thresholds]
    return case(*cases, else_=below) if cases else below


def told_findings() -> ScalarSelect[Any]:
    """Those of a `prediction` that is joined, for `candidates_in`."""
    own = finding.alias()
    one = json_array(own.c.label, own.c.probability)
    is_own = own.c.prediction_id == _answer.id, own.c.probability.is_not(None)
    query = select(json_group_array(one)).where(*is_own)
    return query.correlate(prediction).scalar_subquery()


def told_label(rules: DisplayRules, answer: AnswerColumns) -> ColumnElement[Any]:
    """The surest label of those that are told, NONE or UNKNOWN."""
    if rules.tells_stored_label:
        return answer.label
    if rules.one_label:
        return case(
            (answer.confidence < threshold(rules, answer.label, answer), UNKNOWN),
            else_=answer.label,
        )
    return case(
        (answer.label.is_(None), null()),
        (is_told(rules, answer.label, answer.confidence, answer), answer.label),
        else_=func.coalesce(_surest(rules, answer, finding.c.label), nothing(rules, answer)),
    )


def told_confidence(rules: DisplayRules, answer: AnswerColumns) -> ColumnElement[Any]:
    if rules.one_label:
        return answer.confidence
    is_stored = is_told(rules, answer.label, answer.confidence, answer)
    surest = _surest(rules, answer, finding.c.probability)
    return case((is_stored, answer.confidence), else_=func.coalesce(surest, answer.confidence))


def told_labels(rules: DisplayRules, answer: AnswerColumns) -> ColumnElement[Any]:
    """All of them in alphabetical order, as people write them; or NONE, or UNKNOWN."""
    if rules.one_label:
        return told_label(rules, answer)
    own = finding.alias("told")
    ordered = select(own.c.label).where(is_found(rules, own, answer)).order_by(own.c.label)
    ordered = ordered.correlate_except(own, checkpoint)
    names = ordered.subquery()
    found = select(group_concat(names.c.label, SEPARATOR)).scalar_subquery()
    return case(
        (answer.label.is_(None), null()), else_=func.coalesce(found, nothing(rules, answer))
    )


def each_label(
    rules: DisplayRules, answer: AnswerColumns, source: FromClause
) -> tuple[FromClause, ColumnElement[Any], ColumnElement[Any]]:
    """A row for each label that is told, one where none is; with label and confidence."""
    if rules.one_label:
        return source, told_label(rules, answer), answer.confidence
    own = finding.alias("own")
    label = case((answer.label.is_not(None), func.coalesce(own.c.label, nothing(rules, answer))))
    confidence = func.coalesce(own.c.probability, answer.confidence)
    return source.outerjoin(own, is_found(rules, own, answer)), label, confidence


def nothing(rules: DisplayRules, answer: AnswerColumns) -> ColumnElement[Any]:
    """NONE or UNKNOWN, of an answer without any label above its threshold."""
    own = finding.alias("negative")
    is_above = own.c.probability >= threshold(rules, own.c.label, answer)
    says_so = select(literal(1)).where(
        own.c.prediction_id == answer.prediction_id,
        func.lower(own.c.label).in_(NEGATIVE_LABELS),
        is_above,
    )
    says_so = says_so.correlate_except(own, checkpoint)
    is_none = or_(answer.task == "multi", says_so.exists())
    return case((and_(is_none, *is_known(rules, answer)), NONE), else_=UNKNOWN)


def is_known(rules: DisplayRules, answer: AnswerColumns) -> list[ColumnElement[bool]]:
    """That it is not too novel, where the rules have a bound."""
    return [answer.novelty <= rules.novel_above] if rules.novel_above < 1 else []


def is_found(rules: DisplayRules, own: Alias | Any, answer: AnswerColumns) -> ColumnElement[bool]:
    """A finding of this answer that is told."""
    has_label = is_told(rules, own.c.label, own.c.probability, answer)
    return and_(own.c.prediction_id == answer.prediction_id, has_label)


def is_told(
    rules: DisplayRules,
    label: ColumnElement[Any],
    probability: ColumnElement[Any],
    answer: AnswerColumns,
) -> ColumnElement[bool]:
    """Whether a label is above its threshold and says that something was found."""
    if rules.tells_stored_label:
        return probability.is_not(None)
    is_above = probability >= threshold(rules, label, answer)
    if rules.one_label:
        return is_above
    is_negative = func.lower(label).in_(NEGATIVE_LABELS)
    is_real = case((answer.task == "multi", probability >= FLOOR), else_=~is_negative)
    return and_(is_above, is_real, *is_known(rules, answer))


def _surest(
    rules: DisplayRules, answer: AnswerColumns, column: ColumnElement[Any]
) -> ScalarSelect[Any]:
    query = select(column).where(is_found(rules, finding, answer))
    query = query.order_by(finding.c.probability.desc(), finding.c.label).limit(1)
    return query.correlate_except(finding, checkpoint).scalar_subquery()
