"""A checkpoint that is ready to score: on its device, checked and warm."""

from __future__ import annotations

import logging
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from classifier.errors import CheckpointError
from classifier.inference.batching import BatchSizer, Clips, clips_at_once, stack_clips
from classifier.inference.compiled import CompileKey, Network, is_worthwhile
from classifier.inference.device import has_fast_bfloat16, threads
from classifier.inference.fused_network import for_serving
from classifier.inference.pooling import Embeddings, Novelties, Scores
from classifier.model.checkpoint import CANARY_TOLERANCE, Canary, Checkpoint

logger = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
MAX_HALF = np.finfo(np.float16).max

# Of a portion. Fewer clips are too little to share on a CPU: each layer of a small network waits
# for the other thread, which waits for a core (60 ms for one clip on a busy machine, 11 alone).
FEW_CLIPS = 1 / 4


class ClipAnswers(NamedTuple):
    """Of B clips: probabilities (B, L), novelty (B,) where the checkpoint knows it, and the pooled
    features that the last layer reads (B, C), where they are asked for.
    """

    scores: Scores
    novelty: Novelties | None
    embeddings: Embeddings | None


class Predictor:
    """Scores clips with one checkpoint that stays resident on one device.

    `precision` is float32 or bfloat16, in which the network multiplies; features are always made
    in float32. `canary_error` is the largest difference of its probabilities from those that the
    checkpoint holds for the same clips, made in float32 on the machine that trained it.
    """

    precision: str
    canary_error: float

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: torch.device,
        precision: str = "auto",
        n_threads: int = 0,
    ) -> None:
        """`precision` auto is bfloat16 where the device is fast at it and the canary allows it.

        Batches are shared by `n_threads` on a CPU; 0 is what this thread of Python has. One that
        was begun while a few clips are scored in another has 1.

        Raises CheckpointError where the network does not repeat the scores of its training.
        """
        self.checkpoint = checkpoint
        self.device = device
        self._compiled: Network | None = None
        self._n_threads = n_threads or torch.get_num_threads()
        self._model = checkpoint.build().to(device)
        whole, self._model.network = self._model.network, nn.Identity()  # type: ignore[assignment]
        novelty, self._n_labels = checkpoint.novelty, len(checkpoint.labels)
        self._novelty = None if novelty is None else novelty.to(device)
        precisions = [precision]
        if precision == "auto":
            precisions = ["bfloat16", "float32"] if has_fast_bfloat16(device) else ["float32"]
        for self.precision in precisions:
            self._network = for_serving(whole, DTYPES[self.precision])
            self._clips_at_once = clips_at_once(checkpoint, device, DTYPES[self.precision].itemsize)
            self._portions = BatchSizer(self._clips_at_once)
            self.canary_error = self._canary_error()
            if self.canary_error <= CANARY_TOLERANCE:
                break
        else:
            raise CheckpointError(
                f"checkpoint {checkpoint.name} does not repeat its canary on {device} "
                f"(off by {self.canary_error:.3f} in {self.precision}); "
                "activate another one, or try --device cpu"
            )
        if self.precision != precisions[0]:
            logger.warning(
                "checkpoint %s strays in %s; it is served in %s",
                checkpoint.name,
                precisions[0],
                self.precision,
            )

    def score(self, clips: Clips, n_threads: int = 0) -> Scores:
        """B clips (S,), which may lie anywhere in memory, to probabilities (B, L).

        Several threads of Python may score at once, each with `n_threads` then; 0 is all of them.
        """
        return self.answer(clips, n_threads).scores

    def answer(
        self, clips: Clips, n_threads: int = 0, with_embeddings: bool = False
    ) -> ClipAnswers:
        """`score`, and what else there is to say of each clip."""
        work = partial(self._answers, with_embeddings=with_embeddings)
        is_few = len(clips) <= FEW_CLIPS * self._portions.at_once
        with torch.inference_mode(), threads(1 if is_few else n_threads or self._n_threads):
            found = self._portions.run(work, clips).numpy()
        scores, others = np.split(found, [self._n_labels], axis=1)
        novelty, features = None, others
        if self._novelty is not None:
            novelty, features = others[:, 0], others[:, 1:]
        embeddings = np.minimum(features, MAX_HALF).astype(np.float16) if with_embeddings else None
        return ClipAnswers(scores, novelty, embeddings)

    @property
    def path(self) -> str:
        """How the network runs: layer by layer (eager), or compiled ahead of time."""
        return "eager" if self._compiled is None else "compiled"

    @property
    def compile_key(self) -> CompileKey | None:
        """What a compiled network for this predictor is made from; None on other devices."""
        if self.device.type != "cpu":
            return None
        return CompileKey(self.checkpoint.digest, self.precision, self._clips_at_once)

    def use_compiled(self, compiled: Network) -> bool:
        """Serves whole portions with a compiled network, if it gives the same scores and is faster.

        May run in another thread while this predictor scores.
        """
        with torch.inference_mode(), threads(self._n_threads):
            if not is_worthwhile(
                compiled, self._network, self._probabilities, self._canary_batch()
            ):
                return False
        self._compiled = compiled
        return True

    def _canary_batch(self) -> Tensor:
        """The canary as the network's input, over and over until a portion is full."""
        canary = self.checkpoint.description.canary
        clips = Canary.clips(canary.seed, self.checkpoint.audio_format.clip_samples)
        spectrograms = self._narrow(self.spectrograms(clips))
        n_clips = self._clips_at_once
        return spectrograms.repeat(-(-n_clips // len(clips)), 1, 1, 1)[:n_clips]

    def spectrograms(self, clips: Tensor) -> Tensor:
        """Clips (B, S) on the device to the network's input (B, 1, M, F)."""
        return self._model.spectrograms(clips)

    def outputs(self, spectrograms: Tensor) -> Tensor:
        """The network's input (B, 1, M, F) to logits and features (B, L + C) in float32."""
        narrow, compiled = self._narrow(spectrograms), self._compiled
        if compiled is not None and len(narrow) == self._clips_at_once:
            return compiled(narrow).float()
        return self._network(narrow).float()  # type: ignore[no-any-return]

    def _narrow(self, spectrograms: Tensor) -> Tensor:
        return spectrograms.to(DTYPES[self.precision], memory_format=torch.channels_last)

    def _answers(self, clips: Clips, with_embeddings: bool) -> Tensor:
        """Probabilities and, behind them, novelty where it is known, and features if asked for."""
        at_once = self._model.logmel.clips_at_once(self.device)
        parts = [clips[first : first + at_once] for first in range(0, len(clips), at_once)]
        # Part by part: on a CPU what is put together stays in the caches.
        spectrograms = torch.cat([self.spectrograms(stack_clips(p, self.device)) for p in parts])
        outputs = self.outputs(spectrograms)
        found, features = [self._probabilities(outputs)], outputs[:, self._n_labels :]
        if self._novelty is not None:
            found.append(self._novelty.of(features)[:, None])
        if with_embeddings:
            found.append(features)
        return torch.cat(found, dim=1).cpu()

    def _probabilities(self, outputs: Tensor) -> Tensor:
        return self._model.probabilities(outputs[:, : self._n_labels])

    def _canary_error(self) -> float:
        """Also the warm-up: the first pass on a device is the slow one."""
        canary = self.checkpoint.description.canary
        clips = Canary.clips(canary.seed, self.checkpoint.audio_format.clip_samples)
        scores, expected = self.score(clips.numpy()), np.array(canary.scores)
        if scores.shape != expected.shape or not np.isfinite(scores).all():
            raise CheckpointError(
                f"checkpoint {self.checkpoint.name} gives scores of no use; "
                "train again, or activate another one"
            )
        return float(np.abs(scores - expected).max())
