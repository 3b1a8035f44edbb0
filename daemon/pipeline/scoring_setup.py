"""What the pipeline is made of: the process that scores, and the workers that decode."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from classifier.inference.scoring_process import ScoringProcesses, ScoringSettings
from classifier.workers.cores import usable_cores
from classifier.workers.pool import DecodePool
from daemon.pipeline.clip_batches import MAX_UNDER_WAY
from daemon.pipeline.recording import RecordingInProgress
from storage.settings.schema import EngineSettings, Settings

# A task is known by its recording and the first clip of its segment.
RecordingPool = DecodePool[tuple[RecordingInProgress, int]]

# A batch is a transaction too. A GPU is no faster with more than 128 clips, but rows of a larger
# transaction take less each, and more files go to a decode worker at once.
BATCH_CLIPS, GPU_BATCH_CLIPS = 32, 256


def with_batches(settings: Settings, device: str) -> Settings:
    """With batches of a size for this kind of device, where none is set."""
    if settings.engine.batch_clips:
        return settings
    size = GPU_BATCH_CLIPS if device == "cuda" else BATCH_CLIPS
    engine = settings.engine.model_copy(update={"batch_clips": size})
    return settings.model_copy(update={"engine": engine})


def window_capacity(batch_clips: int, workers: int) -> int:
    """Segments that are decoded and clips that wait, in all."""
    return 2 * batch_clips + 2 * workers


@contextmanager
def scoring_and_decoding(
    engine: EngineSettings, compiled: Path | None = None
) -> Iterator[tuple[ScoringProcesses, RecordingPool, threading.Event]]:
    """Both kinds of processes, and the event that they set with each answer.

    The device may not be known yet: `ScoringProcesses.device` waits for it.
    """
    wake = threading.Event()
    scoring_settings = ScoringSettings(
        engine.device, engine.precision, engine.threads, engine.compile, compiled
    )
    workers = engine.decode_workers or usable_cores()
    # What is not used of a slot takes no memory: as many as the largest batches need.
    batch_clips = engine.batch_clips or GPU_BATCH_CLIPS
    slots = window_capacity(batch_clips, workers) + MAX_UNDER_WAY * batch_clips
    with ScoringProcesses(scoring_settings, wake.set) as scoring:
        pool: RecordingPool = DecodePool(
            workers, engine.decode_timeout_seconds, wake.set, slots, scoring.share
        )
        with pool:
            yield scoring, pool, wake
