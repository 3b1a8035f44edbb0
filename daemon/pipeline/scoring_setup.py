"""What the pipeline is made of: the process that scores, and the workers that decode."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

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


class Processes(NamedTuple):
    """What scores, what decodes, and the event that both set with each answer."""

    scoring: ScoringProcesses
    pool: RecordingPool
    wake: threading.Event


@contextmanager
def scoring_and_decoding(
    engine: EngineSettings, compiled: Path | None = None
) -> Iterator[Processes]:
    """Begins them; the device may not be known yet: `ScoringProcesses.device` waits for it.

    Called before all else that takes time, as loading torch there takes longest.
    """
    wake = threading.Event()
    scoring_settings = ScoringSettings(
        engine.device, engine.precision, engine.threads, engine.compile, compiled
    )
    workers = engine.decode_workers or usable_cores()
    with (
        ScoringProcesses(scoring_settings, wake.set) as scoring,
        DecodePool[tuple["RecordingInProgress", int]](
            workers, engine.decode_timeout_seconds, wake.set, SLOTS, scoring.share
        ) as pool,
    ):
        yield Processes(scoring, pool, wake)
