"""From the scores of clips to those of their recording; without torch, for who only writes them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Novelties = npt.NDArray[np.float32]
Embeddings = npt.NDArray[np.float16]


def pool_scores(clip_scores: Scores, pooling: str, task: str = "single") -> Scores:
    """Clip scores (C, L) to a recording's scores (L,): their mean, or their maximum.

    Of a single task the maximum is rescaled, so that the scores are shares.
    """
    if len(clip_scores) == 1:
        return clip_scores[0]  # type: ignore[no-any-return]
    if pooling == "mean":
        return clip_scores.mean(axis=0)  # type: ignore[no-any-return]
    peaks = clip_scores.max(axis=0)
    return peaks if task == "multi" else peaks / peaks.sum()  # type: ignore[no-any-return]
