"""Feature centres: what novelty is measured by, and the distances of held-out clips from them.

Axes: N clips, L labels, C channels (features), D dimensions, K known distances.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import normalize

from classifier.model.classifier import ClipClassifier
from classifier.model.novelty import MAX_DISTANCES, Centres, Novelty, NoveltyFacts
from trainer.data.dataset import Dataset
from trainer.data.splits import Split
from trainer.distributed.process_group import SINGLE_PROCESS, ProcessGroup

Distances = npt.NDArray[np.float32]

MAX_BYTES = 2**20  # of what a checkpoint keeps, in 16 bits
# Of the covariance, how much is taken to be alike in all dimensions: there are few clips.
SHRINKAGE = 0.2
BATCH_SIZE = 32  # clips


def fit_novelty(
    model: ClipClassifier, dataset: Dataset, split: Split, by_fold: Sequence[Distances]
) -> Novelty | None:
    """By the distances of held-out clips: of the folds, else of those that validate.

    None where nothing was held out.
    """
    known = np.sort(np.concatenate([*by_fold] or [held_out_distances(model, dataset, split)]))
    if not len(known):
        return None
    kept = known
    if len(known) > MAX_DISTANCES:
        kept = np.quantile(known, np.linspace(0, 1, MAX_DISTANCES)).astype(np.float32)
    centres = fit_centres(model, dataset, split.train)
    n_centres, n_dimensions = centres.whitened.shape
    facts = NoveltyFacts(
        n_dimensions=n_dimensions,
        n_centres=n_centres,
        n_distances=len(kept),
        n_held_out=len(known),
        rests_on="out of fold" if by_fold else "validation",
    )
    return Novelty(facts, centres, torch.from_numpy(kept).clamp_min(1e-6))


def held_out_distances(
    model: ClipClassifier,
    dataset: Dataset,
    split: Split,
    process_group: ProcessGroup = SINGLE_PROCESS,
) -> Distances:
    """Of the clips that validate (K,), from the centres of those that train."""
    if not split.validation:
        return np.empty(0, np.float32)
    features = clip_features(model, dataset, dataset.clips_of(split.validation), process_group)
    centres = fit_centres(model, dataset, split.train, process_group)
    return centres.distances(features).numpy()


def fit_centres(
    model: ClipClassifier,
    dataset: Dataset,
    positions: Sequence[int],
    process_group: ProcessGroup = SINGLE_PROCESS,
) -> Centres:
    """Of the recordings at these positions: the mean of each label, and of those without any."""
    clips = dataset.clips_of(positions)
    features = normalize(clip_features(model, dataset, clips, process_group))
    targets = dataset.clip_targets(clips).cpu()
    return centres_of(features, torch.cat([targets, targets.sum(1, keepdim=True) == 0], dim=1))


def centres_of(features: Tensor, targets: Tensor) -> Centres:
    """Of features (N, C) of unit length, and what they bear (N, L).

    The covariance is that around the nearest of a clip's own centres. Of a network so wide that a
    checkpoint has no room for it, the dimensions stay in which the features vary most.
    """
    targets = targets[:, targets.sum(0) > 0]
    centres = (targets.T @ features) / targets.sum(0)[:, None]
    far = torch.cdist(features, centres).masked_fill(targets == 0, torch.inf)
    rest = features - centres[far.argmin(1)]
    covariance = (rest.T @ rest / len(rest)).double()
    n_features = len(covariance)
    # A network that answers everything alike has features that do not vary at all.
    alike = (covariance.trace() / n_features).clamp_min(1e-6) * torch.eye(n_features)
    variances, axes = torch.linalg.eigh((1 - SHRINKAGE) * covariance + SHRINKAGE * alike)
    most = max(1, MAX_BYTES // (2 * (n_features + len(centres))))
    spread = (features.double() @ axes).var(0, correction=0).argsort(descending=True)[:most]
    whitening = (axes[:, spread] / variances[spread].sqrt()).half().float()
    return Centres(whitening, (centres @ whitening).half().float())


@torch.inference_mode()
def clip_features(
    model: ClipClassifier,
    dataset: Dataset,
    clips: Tensor,
    process_group: ProcessGroup = SINGLE_PROCESS,
) -> Tensor:
    """The pooled features (N, C) of the clips with these indices (N,), on the CPU."""
    model.eval()
    features = process_group.over_batches(
        lambda part: model.network.features(model.spectrograms(dataset.audio(part))).float(),
        torch.split(clips, BATCH_SIZE),
    )
    return features.cpu().nan_to_num()  # promotion refuses such a network
