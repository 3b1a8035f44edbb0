"""Centres tell what resembles the training clips from what does not."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from trainer.training.feature_centres import MAX_BYTES, centres_of


def clouds(n: int, seed: int, places: torch.Tensor, width: float = 0.1) -> torch.Tensor:
    """Features of unit length around each place (N, C)."""
    noise = torch.randn(n * len(places), places.shape[1], generator=torch.manual_seed(seed))
    return normalize(places.repeat_interleave(n, 0) + width * noise)


def test_what_lies_between_the_labels_is_farther_than_what_belongs_to_one() -> None:
    places = torch.eye(8)[:3]
    targets = torch.eye(3).repeat_interleave(40, 0)
    centres = centres_of(clouds(40, 0, places), targets)
    known = centres.distances(clouds(20, 1, places))
    strange = centres.distances(clouds(20, 2, torch.eye(8)[5:6]))
    assert strange.min() > known.max()


def test_a_clip_of_two_labels_counts_for_the_nearer_one() -> None:
    places = torch.eye(4)[:2]
    both = torch.tensor([[1.0, 1.0]]).expand(60, 2)
    features = clouds(30, 0, places)
    centres = centres_of(
        torch.cat([features, features]), torch.cat([both, torch.eye(2).repeat_interleave(30, 0)])
    )
    assert centres.whitened.shape == (2, 4)


def test_features_that_do_not_vary_have_centres_too() -> None:
    centres = centres_of(torch.ones(6, 4) / 2, torch.ones(6, 1))
    assert centres.whitening.isfinite().all() and centres.whitened.isfinite().all()


def test_what_a_checkpoint_keeps_is_a_mebibyte_at_most() -> None:
    centres = centres_of(clouds(40, 0, torch.eye(1024)[:2]), torch.eye(2).repeat_interleave(40, 0))
    assert 2 * (centres.whitening.numel() + centres.whitened.numel()) <= MAX_BYTES
