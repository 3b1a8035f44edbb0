"""What a recording's way through the ledger costs alone: its row, its claim, its answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from storage.ledger.ledger import Ledger, open_ledger
from storage.ledger.outcomes import Arrival, AudioFacts, Claim, Scored

ROWS = 1024
CLIP_SECONDS = 5.0


def ledger_ms(folder: Path, labels: Sequence[str], batch: int) -> float:
    """CPU milliseconds per recording, in batches like the engine's, in a new ledger in `folder`."""
    with open_ledger(f"sqlite:///{folder / 'stage.db'}", "daemon") as ledger:
        checkpoint_id = ledger.register_checkpoint("0" * 64, "bench", labels, CLIP_SECONDS, {})
        began = time.process_time()
        for first in range(0, ROWS, batch):
            numbers = range(first, min(first + batch, ROWS))
            _pass_through(ledger, folder, numbers, checkpoint_id, labels)
        return 1000 * (time.process_time() - began) / ROWS


def _pass_through(
    ledger: Ledger, inbox: Path, numbers: range, checkpoint_id: int, labels: Sequence[str]
) -> None:
    ledger.admit([Arrival(inbox, b"%08d.wav" % n, str(n), 441_044) for n in numbers])
    claims = ledger.claim("bench", len(numbers), 3)
    ledger.record([_answer(claim, checkpoint_id, labels) for claim in claims])


def _answer(claim: Claim, checkpoint_id: int, labels: Sequence[str]) -> Scored:
    scores = np.full(len(labels), 1 / len(labels))
    return Scored(
        recording_id=claim.recording_id,
        facts=AudioFacts(f"{claim.recording_id:064x}", CLIP_SECONDS, 44_100, 1),
        checkpoint_id=checkpoint_id,
        label=labels[0],
        confidence=float(scores[0]),
        scores=scores.astype("<f4").tobytes(),
        clip_scores=scores.astype("<f2").tobytes(),
        clip_seconds=CLIP_SECONDS,
        clip_hop_seconds=CLIP_SECONDS,
    )
