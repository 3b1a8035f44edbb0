"""A checkpoint that is ready to score: on its device, checked and warm."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from classifier.checkpoint import CANARY_TOLERANCE, Canary, Checkpoint
from classifier.errors import CheckpointError

Scores = npt.NDArray[np.float32]


class Predictor:
    """Scores clips with one checkpoint that stays resident on one device."""

    precision = "float32"

    def __init__(self, checkpoint: Checkpoint, device: torch.device) -> None:
        """Raises CheckpointError where the network does not say what it said when trained."""
        self.checkpoint = checkpoint
        self.device = device
        self._model = checkpoint.build().to(device)
        self._check_canary()

    def score(self, clips: npt.NDArray[np.float32]) -> Scores:
        """Clips (B, S) to probabilities (B, L)."""
        with torch.inference_mode():
            scores = self._model.scores(torch.from_numpy(clips).to(self.device))
        return scores.cpu().numpy()

    def _check_canary(self) -> None:
        """Also the warm-up: the first pass on a device is the slow one."""
        canary = self.checkpoint.description.canary
        clips = Canary.clips(canary.seed, self.checkpoint.audio_format.clip_samples)
        scores, expected = self.score(clips.numpy()), np.array(canary.scores)
        if scores.shape != expected.shape or not np.isfinite(scores).all():
            raise CheckpointError(
                f"checkpoint {self.checkpoint.name} gives scores of no use; "
                "train again, or activate another one"
            )
        error = float(np.abs(scores - expected).max())
        if error > CANARY_TOLERANCE:
            raise CheckpointError(
                f"checkpoint {self.checkpoint.name} does not repeat its canary on {self.device} "
                f"(off by {error:.3f}); activate another one, or try --device cpu"
            )


def pool_scores(clip_scores: Scores, pooling: str) -> Scores:
    """Clip scores (C, L) to a recording's scores (L,): their mean, or their maximum rescaled."""
    if pooling == "mean":
        return clip_scores.mean(axis=0)  # type: ignore[no-any-return]
    peaks = clip_scores.max(axis=0)
    return peaks / peaks.sum()  # type: ignore[no-any-return]
