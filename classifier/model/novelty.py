"""Novelty: how far a clip's features lie from those of the training recordings, 0 to 1.

The distance is that to the nearest centre of a label, in features of unit length and by their
covariance around the centres: Lee, Lee, Lee and Shin, "A simple unified framework for detecting
out-of-distribution samples" (2018), with the length of Mueller and Hein, "Mahalanobis++" (2025). It
becomes a share by the distances of held-out clips, from which the network had not learned: 0.9 says
that nine in ten of them lie nearer.

Axes: B batch, C channels (features), D dimensions, N centres, K known distances.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn.functional import normalize

WHITENING, CENTRES, DISTANCES = "novelty.whitening", "novelty.centres", "novelty.distances"
MAX_DISTANCES = 1000

Number = Annotated[int, Field(ge=1)]


class NoveltyFacts(BaseModel):
    """The sizes of the tensors, and how many clips were held out to know distances by."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    n_dimensions: Number
    n_centres: Number
    n_distances: Annotated[int, Field(ge=1, le=MAX_DISTANCES)]
    n_held_out: Number
    rests_on: Literal["out of fold", "validation"]

    def shapes(self, n_features: int) -> dict[str, tuple[int, ...]]:
        """Of the tensors in a checkpoint."""
        return {
            WHITENING: (n_features, self.n_dimensions),
            CENTRES: (self.n_centres, self.n_dimensions),
            DISTANCES: (self.n_distances,),
        }


@dataclass(frozen=True)
class Centres:
    """`whitening` (C, D) makes features vary alike in all dimensions; `whitened` (N, D)."""

    whitening: Tensor
    whitened: Tensor

    def distances(self, features: Tensor) -> Tensor:
        """Features (B, C) to the distances (B,) of the nearest centres."""
        places = normalize(features.float()) @ self.whitening
        return torch.cdist(places, self.whitened).amin(1)


@dataclass(frozen=True)
class Novelty:
    """`known` (K,) are the distances of held-out clips, ascending."""

    facts: NoveltyFacts
    centres: Centres = field(repr=False)
    known: Tensor = field(repr=False)

    @classmethod
    def of_tensors(cls, facts: NoveltyFacts, tensors: Mapping[str, Tensor]) -> Novelty:
        return cls(facts, Centres(tensors[WHITENING], tensors[CENTRES]), tensors[DISTANCES])

    @property
    def tensors(self) -> dict[str, Tensor]:
        whitening, whitened = self.centres.whitening.half(), self.centres.whitened.half()
        return {WHITENING: whitening, CENTRES: whitened, DISTANCES: self.known}

    def to(self, device: torch.device) -> Novelty:
        tensors = {name: tensor.float().to(device) for name, tensor in self.tensors.items()}
        return Novelty.of_tensors(self.facts, tensors)

    def of(self, features: Tensor) -> Tensor:
        """Features (B, C) to novelty (B,): the share of held-out clips that lie nearer.

        Behind the farthest one it goes on rising, towards 1.
        """
        distances = self.centres.distances(features)
        n_more, farthest = len(self.known) + 1, self.known[-1]
        share = torch.searchsorted(self.known, distances, right=True) / n_more
        return torch.where(distances > farthest, 1 - farthest / distances / n_more, share)
