"""Novelty says how many of the known sounds lie nearer."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch

from classifier.errors import CheckpointError
from classifier.inference.predictor import Predictor
from classifier.model.checkpoint import (
    Checkpoint,
    encode_checkpoint,
    parse_checkpoint,
    read_checkpoint,
)
from classifier.model.novelty import DISTANCES, Centres, Novelty, NoveltyFacts

KNOWN = torch.tensor([0.1, 0.2, 0.3, 0.4])


def novelty(n_features: int = 2, known: torch.Tensor = KNOWN) -> Novelty:
    """One centre, on the first axis; distances as they are."""
    facts = NoveltyFacts(
        n_dimensions=n_features,
        n_centres=1,
        n_distances=len(known),
        n_held_out=len(known),
        rests_on="validation",
    )
    return Novelty(facts, Centres(torch.eye(n_features), torch.eye(n_features)[:1]), known)


def at_distance(*distances: float) -> torch.Tensor:
    """Features of unit length so far from the centre."""
    angles = 2 * torch.tensor(distances).div(2).asin()
    return torch.stack([angles.cos(), angles.sin()], dim=1)


@pytest.fixture
def checkpoint(checkpoint_file: Path) -> Checkpoint:
    """The usual one, with novelty."""
    return parse_checkpoint("novel", encoded(read_checkpoint(checkpoint_file), KNOWN))


def encoded(source: Checkpoint, known: torch.Tensor) -> bytes:
    shape = source.description.network
    own = novelty(shape.widths[-1], known)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return encode_checkpoint(source.build(), source.labels, shape, {}, now, novelty=own)[1]


def test_novelty_is_the_share_of_known_sounds_that_lie_nearer() -> None:
    found = novelty().of(at_distance(0.05, 0.25, 0.35))
    torch.testing.assert_close(found, torch.tensor([0.0, 0.4, 0.6]))


def test_behind_all_known_sounds_it_rises_on_towards_1() -> None:
    found = novelty().of(at_distance(0.4001, 0.8, 1.9))
    assert 0.8 <= found[0] < found[1] < found[2] < 1


def test_how_loud_features_are_does_not_count() -> None:
    torch.testing.assert_close(
        novelty().of(100 * at_distance(0.25)), novelty().of(at_distance(0.25))
    )


def test_a_checkpoint_keeps_it(checkpoint: Checkpoint) -> None:
    kept = checkpoint.novelty
    assert kept is not None and kept.facts.n_held_out == 4
    torch.testing.assert_close(kept.known, KNOWN)


def test_an_older_checkpoint_has_none(checkpoint_file: Path) -> None:
    older = Predictor(read_checkpoint(checkpoint_file), torch.device("cpu"), "float32")
    scores, found, _ = older.answer(np.zeros((2, 4000), np.float32))
    assert scores.shape == (2, 3) and found is None


def test_a_predictor_gives_it_beside_the_same_scores(
    checkpoint: Checkpoint, checkpoint_file: Path
) -> None:
    clips = np.random.RandomState(0).randn(9, 4000).astype(np.float32)
    predictor = Predictor(checkpoint, torch.device("cpu"), "float32")
    without = Predictor(read_checkpoint(checkpoint_file), torch.device("cpu"), "float32")
    scores, found, embeddings = predictor.answer(clips, with_embeddings=True)
    np.testing.assert_allclose(scores, without.score(clips), atol=1e-6)
    assert found is not None and found.shape == (9,)
    model, kept = checkpoint.build(), checkpoint.novelty
    assert kept is not None
    with torch.inference_mode():
        features = model.network.features(model.spectrograms(torch.from_numpy(clips)))
    np.testing.assert_allclose(found, kept.of(features).numpy(), atol=1e-4)
    assert embeddings is not None
    np.testing.assert_allclose(embeddings, features.numpy(), rtol=1e-3, atol=1e-3)


def test_distances_that_no_sound_has_are_refused(checkpoint_file: Path) -> None:
    data = encoded(read_checkpoint(checkpoint_file), torch.tensor([-1.0, 0.2]))
    with pytest.raises(CheckpointError, match=DISTANCES):
        parse_checkpoint("wrong", data)
