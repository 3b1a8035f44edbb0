"""What a checkpoint says of itself, without its weights; without torch, for who only records it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from classifier.model.audio_format import AudioFormat

MAX_FILE_BYTES = 2**30  # of a checkpoint file


@dataclass(frozen=True)
class CheckpointFacts:
    """`name` is the file's stem, `digest` the SHA-256 of its bytes.

    `description` is its metadata as JSON, without labels and canary. `task` is single or multi.
    """

    name: str
    digest: str
    labels: tuple[str, ...]
    audio_format: AudioFormat
    description: Mapping[str, object]

    @property
    def task(self) -> str:
        return str(self.description["task"])
