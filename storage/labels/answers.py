"""What was answered to the recordings, and the parts of them, that people label."""

from __future__ import annotations

import math
import operator
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from storage.database.bulk import chunks
from storage.database.decision_sql import told_findings
from storage.database.tables import checkpoint, prediction, recording
from storage.labels.label_events import PartKey
from storage.labels.matching import labels_of
from storage.labels.tables.annotation_files import Annotation
from storage.values.clip_scores import ClipScores
from storage.values.decision import Decision, DisplayRules, candidates_in, human_text

_row, _answer = recording.c, prediction.c


@dataclass(frozen=True)
class Comparison:
    """Of each annotation: does it differ from the answer, and is it new?

    It is new if something else, or nothing but another answer, is known of just this part.
    """

    differs: tuple[bool, ...]
    is_new: tuple[bool, ...]

    def __str__(self) -> str:
        n_differ = sum(self.differs)
        return f"{n_differ} differ from the answers, {len(self.differs) - n_differ} repeat them"


def compare_with_answers(
    connection: Connection, found: Sequence[tuple[Annotation, str]], rules: DisplayRules
) -> Comparison:
    """Annotations with the digests of their recordings."""
    parts = [(digest, one.start_s, one.end_s) for one, digest in found]
    answers = [decision.text for decision in answers_to(connection, parts, rules)]
    stored = labels_of(connection, parts)
    labels = [human_text(one.label) for one, _ in found]
    known = [
        human_text(stored[part]) if part in stored else answer
        for part, answer in zip(parts, answers, strict=True)
    ]
    return Comparison(
        tuple(map(operator.ne, labels, answers)), tuple(map(operator.ne, labels, known))
    )


def answers_to(
    connection: Connection, parts: Sequence[PartKey], rules: DisplayRules
) -> list[Decision]:
    """What is told of each; of a part as its clips have it."""
    found: dict[PartKey, Decision] = {}
    of_content = defaultdict(list)
    for part in parts:
        of_content[part[0]].append(part)
    for some in chunks(list(of_content)):
        for digest, label, confidence, findings, novelty, scores in _answers(connection, some):
            for part in of_content[digest]:
                _, start_s, end_s = part
                decision: Decision | None
                if start_s or end_s:
                    decision = scores.decide(start_s, end_s or math.inf, rules)
                else:
                    own = candidates_in(findings)
                    decided = label, confidence, own, scores.task, scores.own, novelty
                    decision = rules.decide(*decided)
                found[part] = decision or Decision(None, None)
    return [found.get(part, Decision(None, None)) for part in parts]


def _answers(
    connection: Connection, digests: Sequence[str]
) -> list[tuple[str, str | None, float | None, str, float | None, ClipScores]]:
    """Of copies, which share their answer, one does."""
    clips = _answer.clip_scores, _answer.clip_seconds, _answer.clip_hop_seconds
    decided = checkpoint.c.task, checkpoint.c.thresholds
    query = (
        select(_row.digest, _row.label, _row.confidence, told_findings(), _answer.novelty)
        .add_columns(checkpoint.c.labels, *clips, *decided)
        .select_from(recording)
        .join(prediction, _answer.id == _row.prediction_id)
        .join(checkpoint, checkpoint.c.id == _answer.checkpoint_id)
        .where(_row.digest.in_(digests), _row.state == "done")
    )
    return [(*row[:5], ClipScores(*row[5:])) for row in connection.execute(query)]
