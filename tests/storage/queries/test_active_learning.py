"""What is suggested to listen to is unlike each other, where the ledger keeps embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.database.engine import open_database
from storage.ledger.ledger import Ledger
from storage.ledger.outcomes import Arrival, AudioFacts, Scored
from storage.queries.active_learning import suggestions
from storage.queries.embeddings import FarthestFirst
from storage.values.decision import DisplayRules

LABELS = ("dog", "siren")
KINDS = np.eye(4, 8)  # of sound, by their features


class Night:
    """A ledger in which recordings of some kinds are answered, each a little surer."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger(open_database(f"sqlite:///{folder / 'clfd.db'}", "daemon"))
        self.n = 0

    def hear(
        self,
        kind: int,
        n: int = 1,
        folder: str = "",
        keeps: bool = True,
        checkpoint: str = "a",
        task: str = "single",
        n_clips: int = 2,
    ) -> None:
        for _ in range(n):
            self.n += 1
            name = f"{folder}{kind}-{self.n:03}.wav"
            self.ledger.admit([Arrival(Path("/inbox"), name.encode(), name, 1)])
            (claim,) = self.ledger.claim("me", 1, 3)
            number = self.ledger.register_checkpoint(
                checkpoint * 64, checkpoint, LABELS, 5.0, {"task": task}
            )
            confidence = 0.5 + self.n / 1000
            scores = np.array([confidence, 1 - confidence], "<f4")
            chance = np.random.default_rng(self.n)
            clips = KINDS[kind] * 10 + chance.normal(0, 0.1, (n_clips, 8))
            facts = AudioFacts(f"{self.n:064}", 10.0, 8000, 1)
            answer = Scored(
                *(claim.recording_id, facts, number, "dog", confidence, scores.tobytes()),
                *(np.tile(scores, n_clips).astype("<f2").tobytes(), 5.0, 5.0),
                embeddings=clips.astype("<f2").tobytes() if keeps else None,
            )
            self.ledger.record([answer])

    def suggested(self, number: int) -> list[str]:
        with self.ledger.database.transaction() as connection:
            return [one.path for one in suggestions(connection, number, DisplayRules())]

    def kinds(self, number: int) -> list[str]:
        return [Path(path).name[0] for path in self.suggested(number)]


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Night]:
    night = Night(tmp_path)
    yield night
    night.ledger.close()


@pytest.mark.parametrize("task", ["single", "multi"])
def test_each_kind_of_sound_is_suggested_before_any_twice(night: Night, task: str) -> None:
    for kind in range(4):
        night.hear(kind, 10, task=task)
    assert sorted(night.kinds(4)) == ["0", "1", "2", "3"]


def test_without_embeddings_the_least_sure_come_first(night: Night) -> None:
    for kind in range(4):
        night.hear(kind, 10, keeps=False)
    assert night.suggested(4) == [f"0-{number:03}.wav" for number in (1, 2, 3, 4)]


def test_where_few_have_embeddings_it_is_as_without(night: Night) -> None:
    night.hear(0, 10, keeps=False)
    night.hear(1, 2)
    night.hear(2, 2)
    assert night.kinds(3) == ["0", "0", "0"]


def test_what_cannot_be_compared_comes_last_and_is_not_lost(night: Night) -> None:
    night.hear(0, 2, keeps=False)
    night.hear(1, 2, checkpoint="b")
    night.hear(2, 3)
    night.hear(3, 3)
    found = night.kinds(20)
    assert len(found) == 10
    assert sorted(found[:6]) == ["2", "2", "2", "3", "3", "3"]


def test_folders_still_take_turns(night: Night) -> None:
    for folder in ("roof/", "yard/"):
        for kind in range(3):
            night.hear(kind, 5, folder)
    found = night.suggested(6)
    assert sorted(path[:6] for path in found) == sorted(
        f"{folder}/{kind}" for folder in ("roof", "yard") for kind in "012"
    )


def test_recordings_of_any_length_are_compared(night: Night) -> None:
    for kind in range(4):
        night.hear(kind, 5, n_clips=1 + 20 * kind)
    assert sorted(night.kinds(4)) == ["0", "1", "2", "3"]


def test_no_more_is_read_than_fits(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies behind is suggested last."""
    monkeypatch.setattr("storage.queries.embeddings._MOST_BYTES", 32 * 6)
    night.hear(0, 5)
    night.hear(1, 5)
    assert sorted(night.kinds(2)) == ["0", "1"]
    assert len(night.suggested(20)) == 10


def radius(places: np.ndarray, chosen: Sequence[int]) -> float:
    distances = np.linalg.norm(places[:, None] - places[None, [*chosen]], axis=2)
    return float(distances.min(axis=1).max())


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 30), n_chosen=st.integers(1, 8))
def test_no_choice_covers_what_was_answered_twice_as_well(seed: int, n: int, n_chosen: int) -> None:
    """The bound of a greedy k-centre, against choices at random; places as they are defined."""
    chance = np.random.default_rng(seed)
    errors = chance.dirichlet(np.ones(3), n).astype(np.float32)
    features = chance.exponential(1, (n, 5)).astype(np.float32)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    places = (errors[:, :, None] * (features / lengths)[:, None, :]).reshape(n, -1)
    farthest = FarthestFirst(range(100, 100 + n), errors, features)
    left = [*range(100, 100 + n)]
    chosen = []
    for _ in range(min(n, n_chosen)):
        one = farthest.choose(left)
        left.remove(one)
        chosen.append(one - 100)
    for _ in range(20):
        other = chance.choice(n, len(chosen), replace=False)
        assert radius(places, chosen) <= 2 * radius(places, other) + 1e-3
