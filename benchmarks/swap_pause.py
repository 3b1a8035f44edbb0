"""What a candidate costs the daemon that serves meanwhile, on a CPU.

python -m benchmarks.swap_pause --threads 1

A checkpoint is read and prepared in one thread, as the daemon does it, while another one scores
clip after clip; and once more while another one only asks for Python's lock every half a
millisecond. What is slow in the first alone is short of cores, in both it waits for the lock.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import click
import numpy as np
import torch

from benchmarks import networks
from classifier.inference.predictor import Predictor
from daemon.benchmark.report import describe_machine
from daemon.pipeline.scoring_setup import load_predictor

REPEATS = 5
ALONE = 20
LOCK_SECONDS = 0.0005


@click.command()
@click.option("--threads", default=1, show_default=True, help="Of torch, as engine.threads.")
def main(threads: int) -> None:
    """Measures this checkout on this machine."""
    torch.set_num_threads(threads)
    click.echo(f"{describe_machine()}, {threads} threads, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("starter", "twice_as_wide", "reference"):
            found = getattr(networks, name)()
            file = Path(folder, f"{found.name}.safetensors")
            file.write_bytes(found.data)
            click.echo(_row(name, file, threads))


def _row(name: str, file: Path, n_threads: int) -> str:
    """Milliseconds: one clip alone, the slowest clip and the longest lock beside a candidate."""

    def prepare() -> Predictor:
        return load_predictor(file, torch.device("cpu"), n_threads=n_threads)

    served = prepare()
    clip = np.zeros((1, served.checkpoint.audio_format.clip_samples), np.float32)

    def score() -> None:
        served.score(clip)

    alone = median(_seconds(score) for _ in range(ALONE))
    began = time.perf_counter()
    beside = [_slowest_beside(prepare, score) for _ in range(REPEATS)]
    locked = [_slowest_beside(prepare, _take_lock) - LOCK_SECONDS for _ in range(REPEATS)]
    took = (time.perf_counter() - began) / (2 * REPEATS)
    return (
        f"{name:14} one clip {1000 * alone:4.0f} ms alone; beside a candidate, which takes"
        f" {1000 * took:4.0f}, the slowest {1000 * median(beside):4.0f} (worst of {REPEATS}"
        f" {1000 * max(beside):4.0f}); lock held {1000 * median(locked):4.1f}"
        f" (worst {1000 * max(locked):4.1f})"
    )


def _slowest_beside(prepare: Callable[[], object], deed: Callable[[], None]) -> float:
    """The longest that the deed took, in seconds, while a candidate was prepared."""
    candidate = threading.Thread(target=prepare)
    candidate.start()
    slowest = 0.0
    while candidate.is_alive():
        slowest = max(slowest, _seconds(deed))
    return slowest


def _seconds(deed: Callable[[], None]) -> float:
    began = time.perf_counter()
    deed()
    return time.perf_counter() - began


def _take_lock() -> None:
    time.sleep(LOCK_SECONDS)


if __name__ == "__main__":
    main()
