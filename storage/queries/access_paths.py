"""The indexes that may lead to the recordings of a page or a count, for `try_in_turn`.

Recordings are either walked in the order of the page, until enough fit, or gathered from those that
one filter leaves, and sorted. Which of them reads less depends on what lies in the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator

from storage.database.engine import PATH_INDEX
from storage.queries.filters import Filters, Sort, path_prefix_clauses

ANSWER, LABEL = "ix_recording_answer", "ix_recording_label"
CONFIDENCE, MOMENT = "ix_recording_confidence", "ix_recording_moment"
DIGEST, RECORDED = "ix_recording_digest", "ix_recording_recorded"


def indexes_of_page(filters: Filters, sort: Sort) -> list[str]:
    """The one in the order of the page first."""
    return list(dict.fromkeys([_in_order(filters, sort), *_of_filters(filters)]))


def indexes_of_count(filters: Filters) -> list[str]:
    return list(_of_filters(filters)) or [MOMENT]


def _in_order(filters: Filters, sort: Sort) -> str:
    if sort == "path":
        return PATH_INDEX
    if sort == "confidence":
        # Where nothing has a confidence, the index would be walked to its end.
        return ANSWER if filters.status in ("failed", "pending") else CONFIDENCE
    if filters.status in ("pending", "all"):
        return MOMENT
    return LABEL if len(filters.stored_labels) == 1 else ANSWER


def _of_filters(filters: Filters) -> Iterator[str]:
    """For each filter the index that finds what it leaves."""
    if filters.wrong:
        yield DIGEST
    if filters.path is not None and [*path_prefix_clauses(filters.path)]:
        yield PATH_INDEX
    if filters.by_recorded:
        yield RECORDED
    if filters.bounds_confidence:
        yield CONFIDENCE
    if filters.stored_labels:
        yield LABEL
    if filters.status != "all":
        yield ANSWER
