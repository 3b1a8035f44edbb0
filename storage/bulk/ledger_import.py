"""Rows of `clfd bulk` as recordings of the ledger: admitted and answered in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from itertools import groupby
from typing import Any

import numpy as np

from storage.bulk.parquet_parts import Row
from storage.ledger.admission import admit, newest_of
from storage.ledger.apply_outcomes import apply_outcomes
from storage.ledger.ledger import Ledger
from storage.ledger.outcomes import Arrival, AudioFacts, Failed, Outcome, Scored, check_outcome
from storage.values.findings import Finding
from storage.values.timestamps import utc_now

_FACTS = [field.name for field in fields(AudioFacts)]
_AS_THEY_ARE = (
    *("label", "confidence", "clip_scores", "clip_seconds", "clip_hop_seconds"),
    *("warning", "scoring", "novelty"),
)


def outcome_of(row: Row, checkpoint_id: int) -> Scored | Failed:
    """What a row says, for a recording whose id is not known yet."""
    if row["state"] == "failed":
        return Failed(0, row["error_class"], row["error"], row["digest"])
    findings = tuple(tuple(one[name] for name in Finding._fields) for one in row["labels"])
    return Scored(
        recording_id=0,
        facts=AudioFacts(**{name: row[name] for name in _FACTS}),
        checkpoint_id=checkpoint_id,
        scores=np.asarray(row["scores"], "<f4").tobytes(),
        findings=findings,
        **{name: row[name] for name in _AS_THEY_ARE},
    )


def import_outcomes(ledger: Ledger, found: Mapping[Arrival, Scored | Failed]) -> int:
    """Answers files that the ledger has no answer for; returns how many that were.

    What a daemon is at work on is left to it. Raises LedgerUnavailable, and RowRefused.
    """
    now = utc_now()
    with ledger.database.transaction() as connection:
        admit(connection, list(found), now, ledger.inboxes)
        outcomes: list[Outcome] = []
        for folder, some in groupby(sorted(found, key=_inbox), key=_inbox):
            arrivals = {arrival.path: arrival for arrival in some}
            inbox_id = ledger.inboxes.find(connection, folder)
            for row in newest_of(connection, inbox_id, list(arrivals)):
                if row.digest is None and row.state == "pending" and row.claimed_by is None:
                    outcome = replace(found[arrivals[row.path]], recording_id=row.id)
                    outcomes.append(check_outcome(outcome))
        apply_outcomes(connection, outcomes, now)
    return len(outcomes)


def _inbox(arrival: Arrival) -> Any:
    return arrival.inbox
