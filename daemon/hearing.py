"""One recording on its way through the window: what is known of it, and what is still out."""

from __future__ import annotations

from dataclasses import dataclass, field

from classifier.predictor import Scores
from daemon.live_model import Served
from storage.outcomes import AudioFacts, Claim


@dataclass(eq=False)
class Hearing:
    """Pinned to the checkpoint that was served when its decoding began.

    `followers` have the same content and wait for this one's answer; what is `over` is answered,
    or waits for another one's answer, and takes no more stretches.
    """

    claim: Claim
    served: Served
    digest: str | None = None
    seconds: float = 0.0
    sample_rate_hz: int = 0
    channels: int = 0
    total_clips: int | None = None
    next_clip: int = 0  # the first one not asked for yet
    stretches_out: int = 0
    scores: dict[int, Scores] = field(default_factory=dict)
    followers: list[Hearing] = field(default_factory=list)
    over: bool = False

    @property
    def is_heard(self) -> bool:
        return self.total_clips is not None and len(self.scores) == self.total_clips

    @property
    def has_more(self) -> bool:
        """Whether another stretch may be asked for; one at a time while the length is unknown."""
        if self.total_clips is None:
            return self.stretches_out == 0
        return self.next_clip < self.total_clips

    @property
    def facts(self) -> AudioFacts:
        assert self.digest is not None
        return AudioFacts(self.digest, self.seconds, self.sample_rate_hz, self.channels)
