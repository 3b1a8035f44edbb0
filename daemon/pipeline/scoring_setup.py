"""What the pipeline is made of: the process that scores, and the workers that decode."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.inference.scoring_process import ScoringProcesses, ScoringSettings
from classifier.workers.cores import usable_cores
from classifier.workers.pool import DecodePool
from storage.settings.schema import EngineSettings, Settings

if TYPE_CHECKING:
    from daemon.pipeline.recording import RecordingInProgress

# A task is known by its recording and the first clip of its segment.
RecordingPool = DecodePool[tuple["RecordingInProgress", int]]

# A batch is a transaction too. A GPU is no faster with more than 128 clips, but rows of a larger
# transaction take less each, and more files go to a decode worker at once.
BATCH_CLIPS, GPU_BATCH_CLIPS = 32, 256
SLOTS = 1024  # for samples; what is not used of them takes no memory


def with_batches(settings: Settings, device: str) -> Settings:
    """With batches of a size for this kind of device, where none is set."""
    if settings.engine.batch_clips:
        return settings
    size = GPU_BATCH_CLIPS if device == "cuda" else BATCH_CLIPS
    engine = settings.engine.model_copy(update={"batch_clips": size})
    return settings.model_copy(update={"engine": engine})


def window_capacity(batch_clips: int, workers: int) -> int:
    """Segments that are decoded and clips that wait for a batch, in all."""
    return 2 * batch_clips + 2 * workers


@contextmanager
def begun_scoring(
    engine: EngineSettings, compiled: Path | None = None
) -> Iterator[tuple[ScoringProcesses, threading.Event]]:
    """The process that scores, and the event that it sets with each answer.

    Begun before all else that takes time: loading torch there takes longest. The device is not
    known yet; `ScoringProcesses.device` waits for it.
    """
    wake = threading.Event()
    about = engine.device, engine.precision, engine.threads, engine.compile, compiled
    with ScoringProcesses(ScoringSettings(*about), wake.set) as scoring:
        yield scoring, wake


@contextmanager
def decode_pool(
    engine: EngineSettings, scoring: ScoringProcesses, wake: threading.Event
) -> Iterator[RecordingPool]:
    """The workers, which set the same event."""
    workers = engine.decode_workers or usable_cores()
    pool: RecordingPool = DecodePool(
        workers, engine.decode_timeout_seconds, wake.set, SLOTS, scoring.share
    )
    with pool:
        yield pool
