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
from functools import partial
from pathlib import Path
from statistics import median
from timeit import repeat, timeit

import click
import numpy as np
import torch

from benchmarks import networks
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
    prepare = partial(load_predictor, file, torch.device("cpu"), n_threads=n_threads)
    served = prepare()
    clip = np.zeros((1, served.checkpoint.audio_format.clip_samples), np.float32)

    score, take_lock = partial(served.score, clip), partial(time.sleep, LOCK_SECONDS)
    alone = median(repeat(score, number=1, repeat=ALONE))
    began = time.perf_counter()
    beside = [_slowest_beside(prepare, score) for _ in range(REPEATS)]
    locked = [_slowest_beside(prepare, take_lock) - LOCK_SECONDS for _ in range(REPEATS)]
    took = (time.perf_counter() - began) / (2 * REPEATS)
    return (
        f"{name:14} one clip {1000 * alone:4.0f} ms alone; beside a candidate, which takes"
        f" {1000 * took:4.0f}, the slowest {1000 * median(beside):4.0f} (worst of {REPEATS}"
        f" {1000 * max(beside):4.0f}); lock held {1000 * median(locked):4.1f}"
        f" (worst {1000 * max(locked):4.1f})"
    )


def _slowest_beside(prepare: Callable[[], object], deed: Callable[[], object]) -> float:
    """The longest that the deed took, in seconds, while a candidate was prepared."""
    candidate = threading.Thread(target=prepare)
    candidate.start()
    slowest = 0.0
    while candidate.is_alive():
        slowest = max(slowest, timeit(deed, number=1))
    return slowest


if __name__ == "__main__":
    main()
