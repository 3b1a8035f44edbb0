"""What the pipeline is made of: the device, the network on it, and the workers that decode."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch

from classifier.inference.device import choose_device
from classifier.inference.predictor import Predictor
from classifier.inference.prepare import prepare
from classifier.model.checkpoint import read_checkpoint
from classifier.workers.cores import usable_cores
from classifier.workers.pool import DecodePool
from classifier.workers.shared_memory import pin
from daemon.pipeline.recording import RecordingInProgress
from storage.settings.schema import EngineSettings, Settings

# A task is known by its recording and the first clip of its segment.
RecordingPool = DecodePool[tuple[RecordingInProgress, int]]

# A batch is a transaction too. A GPU is no faster with more than 128 clips, but rows of a larger
# transaction take less each, and more files go to a decode worker at once.
BATCH_CLIPS, GPU_BATCH_CLIPS = 32, 256
KEPT_BYTES = 256 * 2**20  # of memory that a batch has freed, for the next one


def with_batches(settings: Settings, device: str) -> Settings:
    """With batches of a size for this kind of device, where none is set."""
    if settings.engine.batch_clips:
        return settings
    size = GPU_BATCH_CLIPS if device == "cuda" else BATCH_CLIPS
    engine = settings.engine.model_copy(update={"batch_clips": size})
    return settings.model_copy(update={"engine": engine})


def window_capacity(engine: EngineSettings, workers: int) -> int:
    """Segments that are decoded and clips that wait, in all."""
    return 2 * engine.batch_clips + 2 * workers


def engine_device(settings: Settings) -> torch.device:
    """The device of `engine.device`, with torch's threads set as `engine.threads` says."""
    if settings.engine.threads:
        torch.set_num_threads(settings.engine.threads)
    return choose_device(settings.engine.device)


def load_predictor(
    path: Path, device: torch.device, precision: str = "auto", n_threads: int = 0
) -> Predictor:
    """A checkpoint ready to serve.

    Raises DeviceBusyError where the device has no memory for it now, and CheckpointError where it
    cannot be served for any other reason.
    """
    return prepare(read_checkpoint(path), device, precision, n_threads)


@contextmanager
def decode_pool(
    settings: Settings, device: torch.device
) -> Iterator[tuple[RecordingPool, threading.Event]]:
    """The workers for a device, and the event that they set with each answer."""
    wake = threading.Event()
    engine = with_batches(settings, device.type).engine
    workers = engine.decode_workers or usable_cores()
    pool: RecordingPool = DecodePool(
        workers,
        engine.decode_timeout_seconds,
        wake.set,
        window_capacity(engine, workers),
        partial(pin, device=device) if device.type == "cuda" else lambda _: None,
    )
    with pool:
        yield pool, wake
