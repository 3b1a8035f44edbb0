"""The tallies and the copied answers say what the recordings say, whatever happened to these."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from sqlalchemy import update

from storage.database.engine import open_database
from storage.database.tables import recording, tally
from storage.ledger.ledger import Ledger
from storage.ledger.outcomes import (
    Arrival,
    AudioFacts,
    Changed,
    Claim,
    Failed,
    Linked,
    Outcome,
    Postponed,
    Scored,
)
from storage.ledger.tallies import recount, repair_tallies, tally_errors

INBOX = Path("/inbox")
NAMES = ("a.wav", "yard/a.wav", "yard/b.wav", "yard/deep/ä\udcff.wav")
LABELS = ["dog", "siren"]
DEEDS = some.tuples(
    some.sampled_from(("arrive", "score", "link", "fail", "change", "wait", "retry", "rescore")),
    some.integers(0, 3),
    some.integers(0, 2),
)


class Sequence:
    """A ledger to which things happen, on days that follow each other."""

    def __init__(self, folder: Path) -> None:
        self.now = 0
        self.database = open_database(f"sqlite:///{folder / 'clfd.db'}", "daemon")
        self.ledger = Ledger(self.database, self._clock)
        self.checkpoints = [
            self.ledger.register_checkpoint(letter * 64, letter, LABELS, 5.0, {}) for letter in "ab"
        ]

    def _clock(self) -> str:
        self.now += 1
        return f"2026-01-{1 + self.now // 8:02}T{self.now % 8:02}:00:00.000Z"

    def happen(self, deed: str, which: int, content: int) -> None:
        match deed:
            case "arrive":
                path = NAMES[which].encode("utf-8", "surrogateescape")
                self.ledger.admit([Arrival(INBOX, path, f"f{content}", 1)])
            case "retry":
                self.ledger.requeue_failed()
            case "rescore":
                with self.database.transaction() as connection:
                    connection.execute(
                        update(recording).where(recording.c.id == which + 1).values(requeued=deed)
                    )
            case _:
                claims = self.ledger.claim("me", which + 1, 3)
                self.ledger.record([self.outcome(deed, claim, content) for claim in claims])

    def outcome(self, deed: str, claim: Claim, content: int) -> Outcome:
        facts = AudioFacts(f"{content:064}", 5.0, 44100, 1)
        checkpoint = self.checkpoints[content % 2]
        match deed:
            case "fail":
                digest = facts.digest if content else None
                return Failed(claim.recording_id, "decode", "no audio", digest)
            case "change":
                return Changed(claim.recording_id)
            case "wait":
                return Postponed(claim.recording_id, "io", "not now")
        asked = (claim.recording_id, facts.digest, checkpoint)
        (leader,) = self.ledger.known_answers([asked], link=True)
        if leader is not None and deed == "link":
            return Linked(claim.recording_id, facts, checkpoint, leader)
        scores = struct.pack("<2f", 0.75, 0.25)
        answer = (LABELS[content % 2], 0.25 + content / 4, scores, scores[:4], 5.0, 5.0)
        return Scored(claim.recording_id, facts, checkpoint, *answer)

    def complaints(self) -> list[str]:
        return list(tally_errors(self.database))


@pytest.fixture
def sequence(tmp_path: Path) -> Iterator[Sequence]:
    sequence = Sequence(tmp_path)
    yield sequence
    sequence.ledger.close()


@settings(max_examples=25, deadline=None)
@given(deeds=some.lists(DEEDS, min_size=4, max_size=24))
def test_no_sequence_parts_the_tallies_from_the_recordings(
    tmp_path_factory: pytest.TempPathFactory, deeds: list[tuple[str, int, int]]
) -> None:
    sequence = Sequence(tmp_path_factory.mktemp("ledger"))
    try:
        for deed in deeds:
            sequence.happen(*deed)
        assert sequence.complaints() == []
    finally:
        sequence.ledger.close()


def test_a_wrong_tally_is_told_and_mended(sequence: Sequence) -> None:
    sequence.happen("arrive", 1, 0)
    with sequence.database.transaction() as connection:
        connection.execute(update(tally).values(n=7))
    assert sequence.complaints() == ["tally pending 2026-01-01  0: 7 instead of 1"]
    with sequence.database.transaction() as connection:
        recount(connection)
    assert sequence.complaints() == []


def test_wrong_copies_and_tallies_are_made_anew(sequence: Sequence) -> None:
    sequence.happen("arrive", 1, 0)
    sequence.happen("score", 1, 0)
    assert not repair_tallies(sequence.database)
    with sequence.database.transaction() as connection:
        connection.execute(update(tally).values(n=7))
        connection.execute(update(recording).values(label=None, checkpoint_id=None))
    assert "1 recordings have another answer than their prediction" in sequence.complaints()
    assert repair_tallies(sequence.database)
    assert sequence.complaints() == []
