"""Which recordings are most worth listening to.

Three reasons, taken in turns: the answer is unsure (least confident first, Lewis and Gale 1994),
checkpoints disagree (query by committee, Seung et al. 1992), or its label is rare. Within each,
folders take turns as well, so that no site has them all. Where the ledger keeps embeddings, what is
unlike all that was chosen before comes first (see `storage.queries.embeddings`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

from sqlalchemy import Connection, Select, and_, case, func, select

from storage.database.decision_sql import (
    CURRENT,
    ENTRY,
    STORED,
    is_told,
    rules_within,
    told_confidence,
    told_label,
    told_labels,
)
from storage.database.tables import (
    human_label,
    inbox,
    label_mark,
    prediction,
    recording,
    recording_label,
    tally,
)
from storage.ledger.tallies import folder_of
from storage.queries.embeddings import FarthestFirst, farthest_first
from storage.queries.filters import CONFIDENCE, by_index
from storage.values.decision import DisplayRules

_PER_REASON = 20  # candidates for each that is asked for
_NEWEST = 200_000  # recordings that are looked through for disagreement, a second of work
_COMPARED = 2_000  # candidates of each reason whose features are compared
_LABELLED_SHARE = 0.5
_row = recording.c
_COLUMNS = (_row.digest, inbox.c.path_text, _row.path, _row.path_text, _row.prediction_id)
_human, _mark = human_label.c, label_mark.c
# Of which a person labelled neither the whole nor half of it: a part tells little of a long one.
_seconds = case((_human.end_s > 0, _human.end_s), else_=_row.duration_s) - _human.start_s
_labelled_s = select(func.coalesce(func.sum(_seconds), 0)).where(_human.digest == _row.digest)
_marked_s = case((_mark.end_s > 0, _mark.end_s), else_=_row.duration_s) - _mark.start_s
# Of as much of which somebody is unsure, or said what it is not.
_marked = select(_mark.digest).where(
    _mark.digest == _row.digest, _marked_s >= _LABELLED_SHARE * _row.duration_s
)
_IS_OPEN = and_(
    _row.state == "done",
    _labelled_s.correlate(recording).scalar_subquery() < _LABELLED_SHARE * _row.duration_s,
    ~_marked.correlate(recording).exists(),
)


@dataclass(frozen=True)
class Suggestion:
    path: str
    inbox: str
    label: str
    confidence: float
    reason: str
    digest: str
    folder: str
    prediction_id: int


def suggestions(connection: Connection, number: int, rules: DisplayRules) -> list[Suggestion]:
    """Up to so many, the most worthwhile first; nothing twice, nor what was labelled."""
    rules = rules_within(connection, rules)
    most = number * _PER_REASON
    unsure = by_index(_open(rules), CONFIDENCE).where(_row.confidence.is_not(None))
    reasons = [
        [*_found(connection, unsure.order_by(_row.confidence).limit(most), "unsure")],
        [*_found(connection, _disagreeing(rules).limit(most), "checkpoints disagree")],
        [*_rare(connection, most, rules)],
    ]
    compared = zip_longest(*(found[:_COMPARED] for found in reasons))
    ids = dict.fromkeys(one.prediction_id for taken in compared for one in taken if one)
    farthest = farthest_first(connection, [*ids])
    orders = [_unlike(found, farthest) if farthest else _spread(found) for found in reasons]
    chosen: dict[str, Suggestion] = {}
    for one in filter(None, chain.from_iterable(zip_longest(*orders))):
        chosen.setdefault(one.digest, one)
        if len(chosen) == number:
            break
    return list(chosen.values())


def _unlike(found: Sequence[Suggestion], farthest: FarthestFirst) -> Iterator[Suggestion]:
    """What is least like all that was suggested before, also for another reason; what cannot be
    compared comes last. Folders that had fewer go before others.
    """
    seen: Counter[str] = Counter()
    left = {one.prediction_id: one for one in found if one.prediction_id in farthest}
    while left:
        fewest = min(seen[one.folder] for one in left.values())
        some = [id for id, one in left.items() if seen[one.folder] == fewest]
        one = left.pop(farthest.choose(some))
        seen[one.folder] += 1
        yield one
    yield from _spread(one for one in found if one.prediction_id not in farthest)


def _spread(found: Iterable[Suggestion]) -> list[Suggestion]:
    """The first of each folder, then the second of each, in their own order."""
    seen: Counter[str] = Counter()
    ranked = []
    for one in found:
        ranked.append((seen[one.folder], one))
        seen[one.folder] += 1
    return [one for _, one in sorted(ranked, key=lambda pair: pair[0])]


def _open(rules: DisplayRules) -> Select[Any]:
    told = told_label(rules, CURRENT), told_confidence(rules, CURRENT)
    query = select(*_COLUMNS, *told).select_from(recording)
    return query.join(inbox, inbox.c.id == _row.inbox_id).where(_IS_OPEN)


def _disagreeing(rules: DisplayRules) -> Select[Any]:
    """Among the newest, since no index knows them."""
    differs = told_labels(rules, STORED) != told_labels(rules, CURRENT)
    other = and_(prediction.c.recording_id == _row.id, differs)
    newest = select(func.max(_row.id)).scalar_subquery()
    query = _open(rules).join(prediction, other).where(_row.id > newest - _NEWEST)
    return query.order_by(_row.id.desc())


def _rare(connection: Connection, most: int, rules: DisplayRules) -> Iterator[Suggestion]:
    """Labels that are the surest less often than the even share, the rarest first."""
    entry = recording_label.c
    given = select(tally.c.label, func.sum(tally.c.n)).where(
        tally.c.state == "done", tally.c.label != ""
    )
    numbers = {label: n for label, n in connection.execute(given.group_by(tally.c.label)) if n}
    even = sum(numbers.values()) / max(1, len(numbers))
    for label in sorted(numbers, key=lambda label: numbers[label]):
        if numbers[label] < even:
            is_label = entry.label == label, is_told(rules, entry.label, entry.probability, ENTRY)
            query = _open(rules).join(recording_label, entry.recording_id == _row.id)
            query = query.where(*is_label).order_by(entry.answered_at.desc())
            query = query.with_hint(recording, "NOT INDEXED", "sqlite").limit(most)
            yield from _found(connection, query, f"few are {label}")


def _found(connection: Connection, query: Select[Any], reason: str) -> Iterator[Suggestion]:
    for digest, folder, path, path_text, answer, label, confidence in connection.execute(query):
        site = f"{folder}/{folder_of(path)}"
        yield Suggestion(path_text, folder, label, confidence, reason, digest, site, answer)
