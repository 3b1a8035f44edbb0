"""A checkpoint that is ready to score: on its device, checked and warm."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from classifier.checkpoint import CANARY_TOLERANCE, Canary, Checkpoint
from classifier.errors import CheckpointError

Scores = npt.NDArray[np.float32]

# Of the widest feature map of one pass on a CPU. More leaves the caches: the reference's network
# takes 139 ms a clip for 32 clips at once (1.8 GB), 103 ms one by one; one of a quarter of its
# width and half its bands is fastest at 8 (two cores of AMD EPYC).
CPU_MAP_BYTES = 16 * 2**20


class Predictor:
    """Scores clips with one checkpoint that stays resident on one device."""

    precision = "float32"

    def __init__(self, checkpoint: Checkpoint, device: torch.device) -> None:
        """Raises CheckpointError where the network does not say what it said when trained."""
        self.checkpoint = checkpoint
        self.device = device
        self._model = checkpoint.build().to(device)
        self._model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._clips_at_once = _clips_at_once(checkpoint) if device.type == "cpu" else None
        self._check_canary()

    def score(self, clips: npt.NDArray[np.float32]) -> Scores:
        """Clips (B, S) to probabilities (B, L)."""
        parts = torch.split(torch.from_numpy(clips), self._clips_at_once or len(clips))
        with torch.inference_mode():
            scores = torch.cat([self._model.scores(part.to(self.device)) for part in parts])
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


def _clips_at_once(checkpoint: Checkpoint) -> int:
    """How many clips make feature maps of CPU_MAP_BYTES; at least one."""
    audio, network = checkpoint.audio_format, checkpoint.description.network
    first, second, *_ = network.widths
    channels = max(first, second // 4 if network.early_pooling else second)
    map_bytes = 4 * channels * audio.n_mels * audio.n_frames
    return max(1, CPU_MAP_BYTES // map_bytes)


def pool_scores(clip_scores: Scores, pooling: str) -> Scores:
    """Clip scores (C, L) to a recording's scores (L,): their mean, or their maximum rescaled."""
    if pooling == "mean":
        return clip_scores.mean(axis=0)  # type: ignore[no-any-return]
    peaks = clip_scores.max(axis=0)
    return peaks / peaks.sum()  # type: ignore[no-any-return]
