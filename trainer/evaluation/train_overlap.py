"""Which recordings a checkpoint was trained on: on those its accuracy proves nothing.

The checkpoint holds the digests of its training files, and of those its temperature was fitted on.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from classifier.model.checkpoint import Checkpoint
from trainer.data.dataset import Dataset
from trainer.evaluation.assessment import NOTHING_CHOSEN


@dataclass(frozen=True)
class TrainOverlap:
    """Positions in a dataset.

    trained: what the network was trained on, and relatives of it; None where it does not say.
    validated: what validated it, which its temperature was fitted on.
    """

    trained: frozenset[int] | None
    validated: frozenset[int]

    def selection(self, positions: Collection[int]) -> dict[str, str]:
        """For each number of an evaluation: what was chosen on the recordings it is measured on."""
        quality = NOTHING_CHOSEN
        if self.trained is None:
            quality = "the checkpoint does not say what it was trained on; it may flatter"
        elif n := len(self.trained.intersection(positions)):
            quality = f"flatters: the network was trained on {n} of these, or on relatives"
        calibration = quality
        if n := len(self.validated.intersection(positions)):
            calibration = f"flatters: the temperature was fitted on {n} of these recordings"
        return {
            "checkpoint": "trained beforehand; nothing about it changes here",
            **dict.fromkeys(("accuracy", "macro_f1", "loss"), quality),
            "ece": calibration,
            "ece_before": quality,
            "temperature": "that of the checkpoint",
        }


def find_train_overlap(
    checkpoint: Checkpoint, dataset: Dataset, groups: Sequence[str]
) -> TrainOverlap:
    """Compares digests, not names. Recordings of one of the `groups` (R,) are relatives."""
    training = checkpoint.description.training
    trained, validated = (
        _positions(dataset, digests) if isinstance(digests, list) else None
        for digests in map(training.get, ("recording_digests", "validation_digests"))
    )
    if trained is not None:
        related = {groups[at] for at in trained}
        trained = frozenset(at for at, group in enumerate(groups) if group in related)
    return TrainOverlap(trained, validated or frozenset())


def _positions(dataset: Dataset, digests: Sequence[str]) -> frozenset[int]:
    wanted = frozenset(map(str, digests))
    return frozenset(at for at, digest in enumerate(dataset.digests) if digest in wanted)
