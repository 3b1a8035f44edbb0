"""Clips that wait for a batch, and the batches that are being scored.

A batch goes when it is full, or when nothing else is being scored; there is no timer. One more
waits behind those that are being scored, so that scoring does not wait for the loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple

from classifier.audio.samples import Samples
from classifier.inference.scoring_process import ScoredBatch, ScoringProcessDied
from daemon.pipeline.recording import RecordingInProgress

# A stop waits for the batches under way, and whoever looks wants to see how it goes on. A batch as
# large as a GPU's would take a large network minutes on a small processor.
BATCH_SECONDS = 5.0
UNTRIED_CLIPS = 32  # of a checkpoint whose pace nobody knows


class ReadyClip(NamedTuple):
    """A clip, and its number in its recording."""

    recording: RecordingInProgress
    number: int
    samples: Samples


class _Batch(NamedTuple):
    clips: list[ReadyClip]
    scored: Future[ScoredBatch]


@dataclass(eq=False)
class Pace:
    """How long the network of the checkpoint that was served last takes for a clip."""

    _checkpoint_id: int | None = None
    _clip_seconds: float = 0.0

    def max_clips(self, checkpoint_id: int) -> int:
        """Clips that take BATCH_SECONDS at the pace of those before them."""
        if checkpoint_id != self._checkpoint_id:
            return UNTRIED_CLIPS
        return max(1, int(BATCH_SECONDS / max(self._clip_seconds, 1e-6)))

    def note(self, checkpoint_id: int, n_clips: int, seconds: float) -> None:
        self._clip_seconds = seconds / n_clips
        self._checkpoint_id = checkpoint_id


class ClipBatches:
    """Each holds clips for one checkpoint, `batch_clips` at most; `at_once` are scored together.

    `seconds` is what scoring has taken so far, `device_memory_bytes` what was allocated last.
    """

    def __init__(self, batch_clips: int, at_once: int) -> None:
        self.batch_clips = batch_clips
        self._max_under_way = at_once + 1
        self._pace = Pace()
        self._ready: dict[int, deque[ReadyClip]] = {}  # by checkpoint
        self._under_way: deque[_Batch] = deque()
        self.clips_scored = self.n_batches = self.last_batch_clips = 0
        self.seconds = 0.0
        self.device_memory_bytes: int | None = None

    @property
    def n_ready(self) -> int:
        return sum(len(queue) for queue in self._ready.values())

    @property
    def can_get_on(self) -> bool:
        """Whether there is something to take, or to hand in."""
        return self._is_due or bool(self._under_way and self._under_way[0].scored.done())

    @property
    def lost(self) -> Collection[RecordingInProgress]:
        """The recordings of which clips were being scored when the process died."""
        lost = (batch for batch in self._under_way if batch.scored.exception())
        return {clip.recording for batch in lost for clip in batch.clips}

    def add(self, recording: RecordingInProgress, first_clip: int, clips: Samples) -> None:
        """Clips (C, S), the first of which has that number in its recording."""
        ready = self._ready.setdefault(recording.served.checkpoint_id, deque())
        ready.extend(ReadyClip(recording, first_clip + i, clip) for i, clip in enumerate(clips))

    def hand_in(self) -> None:
        """Those that have waited longest first."""
        while self._is_due:
            checkpoint_id, queue = next(iter(self._ready.items()))
            clips = [queue.popleft() for _ in range(min(len(queue), self._limit(checkpoint_id)))]
            if not queue:
                del self._ready[checkpoint_id]
            clips = [clip for clip in clips if not clip.recording.is_closed]
            if clips:
                predictor = clips[0].recording.served.predictor
                with_embeddings = any(clip.recording.engine.embeddings for clip in clips)
                scored = predictor.submit([clip.samples for clip in clips], with_embeddings)
                self._under_way.append(_Batch(clips, scored))

    def take_scored(self) -> Iterator[RecordingInProgress]:
        """Hands the recordings what was scored, clip by clip. Raises what scoring raised."""
        while self._under_way and self._under_way[0].scored.done():
            clips, scored = self._under_way[0]
            if isinstance(scored.exception(), ScoringProcessDied):
                return  # whoever looks after the process gives them back
            scores, seconds, self.device_memory_bytes, *others = scored.result()
            self._under_way.popleft()
            self._pace.note(clips[0].recording.served.checkpoint_id, len(clips), seconds)
            self.seconds += seconds
            self.clips_scored += len(clips)
            self.n_batches += 1
            self.last_batch_clips = len(clips)
            novelty, embeddings = ([None] * len(clips) if them is None else them for them in others)
            for clip, *answer in zip(clips, scores, novelty, embeddings, strict=True):
                clip.recording.add_clip(clip.number, *answer)
                yield clip.recording

    def clear(self) -> None:
        self._ready.clear()
        self._under_way.clear()

    @property
    def _is_due(self) -> bool:
        if not self._ready or len(self._under_way) >= self._max_under_way:
            return False
        checkpoint_id, queue = next(iter(self._ready.items()))
        return not self._under_way or len(queue) >= self._limit(checkpoint_id)

    def _limit(self, checkpoint_id: int) -> int:
        return min(self.batch_clips, self._pace.max_clips(checkpoint_id))
