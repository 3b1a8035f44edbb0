"""One recording on its way through the window: what is known of it, and what is still out."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from classifier.audio.decode import DecodedAudio
from classifier.audio.samples import Levels
from classifier.inference.pooling import Embeddings, Scores
from daemon.pipeline.model_manager import Served
from storage.ledger.outcomes import AudioFacts, Claim
from storage.settings.schema import EngineSettings

# What one answer serves: a content under a checkpoint and, where it matters, some settings.
Identity = tuple[str | None, int, str | None]


@dataclass(eq=False)
class RecordingInProgress:
    """Pinned to the checkpoint that was served, and the settings, when its decoding began.

    `followers` have the same content and wait for this one's answer; one that `is_closed` has its
    answer, or waits for another one's, and takes no more segments.
    """

    claim: Claim
    served: Served
    engine: EngineSettings
    fingerprint: str | None = None  # None: as the first segment finds it
    digest: str | None = None
    seconds: float = 0.0
    sample_rate_hz: int = 0
    channels: int = 0
    level: Levels = field(default_factory=Levels)
    recorded_at: str | None = None
    recorder: str | None = None
    known_answer_id: int | None = None  # the recording whose stored answer serves for this content
    total_clips: int | None = None
    next_clip: int = 0  # the first one not asked for yet
    segments_out: int = 0
    scores: dict[int, Scores] = field(default_factory=dict)
    novelty: dict[int, float] = field(default_factory=dict)  # where the checkpoint knows it
    embeddings: dict[int, Embeddings] = field(default_factory=dict)  # where they are kept
    warnings: dict[int, str] = field(default_factory=dict)  # by first clip of the segment
    followers: list[RecordingInProgress] = field(default_factory=list)
    is_closed: bool = False

    @property
    def wanted_scoring(self) -> str | None:
        """Of a stored answer that may serve; None: any. Who asks for another one wants this."""
        return self.engine.scoring if self.claim.purpose == "rescore" else None

    @property
    def identity(self) -> Identity:
        return self.digest, self.served.checkpoint_id, self.wanted_scoring

    @property
    def is_begun(self) -> bool:
        """Whether any of it was decoded."""
        return self.sample_rate_hz > 0

    @property
    def is_scored(self) -> bool:
        total = self.total_clips
        if total is None or len(self.scores) < total:
            return False
        return all(index in self.scores for index in range(total))

    @property
    def has_more(self) -> bool:
        """Whether another segment may be asked for; one at a time while the length is unknown."""
        if self.total_clips is None:
            return self.segments_out == 0
        return self.next_clip < self.total_clips

    @property
    def warning(self) -> str | None:
        """What is damaged, as the earliest segment that met it describes it, and what is odd."""
        damage = self.warnings[min(self.warnings)] if self.warnings else None
        return "; ".join(filter(None, (damage, self.level.warning))) or None

    @property
    def clip_scores(self) -> Scores:
        """(C, L), without the clips that lie behind a damage."""
        assert self.total_clips is not None
        return np.stack([self.scores[index] for index in range(self.total_clips)])

    def novelty_of(self, label: int) -> float | None:
        """The mean over its clips; of a long recording that of the clip surest of the label.

        A siren in an hour of what nobody taught is not as strange as the hour.
        """
        if not self.novelty:
            return None
        clip_scores = self.clip_scores
        if len(clip_scores) > self.engine.long_clips:
            return self.novelty[int(clip_scores[:, label].argmax())]
        return sum(self.novelty[at] for at in range(len(clip_scores))) / len(clip_scores)

    @property
    def packed_embeddings(self) -> bytes | None:
        """As the ledger keeps them (C, D), if it does."""
        if not self.engine.embeddings:
            return None
        assert self.total_clips is not None
        kept = [self.embeddings[index] for index in range(self.total_clips)]
        return np.stack(kept).astype("<f2").tobytes()

    def add_clip(
        self, number: int, scores: Scores, novelty: float | None, embedding: Embeddings | None
    ) -> None:
        """What was scored of one clip: (L,), and (D,)."""
        self.scores[number] = scores
        if novelty is not None:
            self.novelty[number] = float(novelty)
        if embedding is not None:
            self.embeddings[number] = embedding

    def add_segment(self, first_clip: int, answer: DecodedAudio) -> None:
        """Takes in what a segment shows of the whole; of several lengths the shortest is right."""
        is_longer = self.total_clips is not None and (
            answer.total_clips is None
            or (answer.total_clips, answer.seconds) > (self.total_clips, self.seconds)
        )
        if not is_longer:
            self.seconds, self.total_clips = answer.seconds, answer.total_clips
        self.fingerprint = answer.fingerprint
        self.sample_rate_hz, self.channels = answer.sample_rate_hz, answer.channels
        self.digest = answer.digest or self.digest
        self.recorded_at = answer.recorded_at or self.recorded_at
        self.recorder = answer.recorder or self.recorder
        self.level.join(answer.level)
        if answer.warning is not None:
            self.warnings[first_clip] = answer.warning

    @property
    def facts(self) -> AudioFacts:
        assert self.digest is not None
        return AudioFacts(
            self.digest,
            self.seconds,
            self.sample_rate_hz,
            self.channels,
            self.level.rms_dbfs,
            self.level.peak_dbfs,
            self.level.clipped,
            self.recorded_at,
            self.recorder,
        )
