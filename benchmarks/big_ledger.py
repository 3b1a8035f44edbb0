"""A ledger with many rows, made by the ledger's own way in."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from storage.ledger import Ledger, open_ledger
from storage.outcomes import Arrival, AudioFacts, Scored
from storage.settings import Settings

LABELS = ("dog_bark", "drilling", "engine_idling", "siren", "street_music")
CHUNK = 5_000


def fill_ledger(settings: Settings, n_rows: int) -> None:
    """`n_rows` done recordings in twenty folders, each with its own prediction."""
    inbox, chance = settings.inboxes[0], random.Random(0)
    with open_ledger(settings.database, "daemon") as ledger:
        checkpoint_id = ledger.register_checkpoint("0" * 64, "bench", LABELS, 5.0, {})
        for first in range(0, n_rows, CHUNK):
            _fill(ledger, inbox, range(first, min(first + CHUNK, n_rows)), checkpoint_id, chance)


def _fill(
    ledger: Ledger, inbox: Path, numbers: range, checkpoint_id: int, chance: random.Random
) -> None:
    ledger.admit(
        [Arrival(inbox, f"card{n % 20}/{n:08}.wav".encode(), f"{n}", 441_044) for n in numbers]
    )
    claims = ledger.claim("bench", len(numbers), 3)
    ledger.record([_scored(claim.recording_id, checkpoint_id, chance) for claim in claims])


def _scored(recording_id: int, checkpoint_id: int, chance: random.Random) -> Scored:
    scores = np.array([chance.random() for _ in LABELS])
    scores /= scores.sum()
    best = int(scores.argmax())
    return Scored(
        recording_id,
        AudioFacts(f"{recording_id:064x}", 5.0, 44_100, 1),
        checkpoint_id,
        LABELS[best],
        float(scores[best]),
        scores.astype("<f4").tobytes(),
        scores.astype("<f2").tobytes(),
        5.0,
        5.0,
    )
