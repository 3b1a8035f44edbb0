"""Ways to bring clips to a GPU and through a network: what each takes, in milliseconds a batch.

python -m benchmarks.ways_to_gpu

Why the predictor fetches clips one by one from pinned slots, and captures no CUDA graph.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median

import click
import numpy as np
import torch
from torch import Tensor

from benchmarks import networks
from classifier.inference.predictor import Predictor, gathered
from classifier.model.checkpoint import parse_checkpoint
from classifier.workers.shared_memory import SMALL_BYTES, SlotBuffer, pin
from daemon.benchmark.machine import describe_machine

BATCHES = (32, 128, 256, 512)
REPEATS = 20
CUDA = torch.device("cuda")


@click.command()
def main() -> None:
    """Needs a CUDA device."""
    click.echo(describe_machine())
    for name in ("starter", "twice_as_wide", "reference"):
        served = getattr(networks, name)()
        predictor = Predictor(parse_checkpoint(served.name, served.data), CUDA)
        click.echo(f"{name}, {predictor.precision}, off its canary by {predictor.canary_error:.4f}")
        n_samples = predictor.checkpoint.audio_format.clip_samples
        for size in BATCHES:
            ways = _ways_there(size, n_samples) | _ways_through(predictor, size, n_samples)
            told = (f"{way} {milliseconds:.2f}" for way, milliseconds in ways.items())
            click.echo(f"{size:4} clips: {', '.join(told)}")


def _ways_there(size: int, n_samples: int) -> dict[str, float]:
    """From the slots of a buffer, as workers leave them, to the device."""
    prepares = (lambda _: None, partial(pin, device=CUDA))
    plain, pinned = (_clips(size, n_samples, prepare) for prepare in prepares)
    staging = torch.empty(size, n_samples).pin_memory()

    def through_staging() -> Tensor:
        np.stack(plain, out=staging.numpy())
        return staging.to(CUDA, non_blocking=True)

    return {
        "put together and copied": _ms(lambda: torch.from_numpy(np.stack(plain)).to(CUDA)),
        "through a pinned buffer": _ms(through_staging),
        "fetched one by one": _ms(lambda: gathered(plain, CUDA)),
        "fetched from pinned slots": _ms(lambda: gathered(pinned, CUDA)),
    }


def _clips(size: int, n_samples: int, prepare: Callable[[SlotBuffer], None]) -> list[np.ndarray]:
    buffer = SlotBuffer(size, SMALL_BYTES)
    prepare(buffer)
    noise = np.random.default_rng(0).standard_normal(n_samples).astype(np.float32)
    slots = (buffer.take() for _ in range(size))
    clips = [slot.look(n_samples) for slot in slots if slot]
    for clip in clips:
        clip[:] = 0.1 * noise
    return clips


def _ways_through(predictor: Predictor, size: int, n_samples: int) -> dict[str, float]:
    """From clips on the device to logits there."""
    clips = 0.1 * torch.randn(size, n_samples, device=CUDA)
    with torch.inference_mode():
        spectrograms = predictor.spectrograms(clips)

        def whole() -> Tensor:
            return predictor.logits(predictor.spectrograms(clips))

        whole()  # libraries set themselves up at the first call, which no graph may hold
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            whole()
        return {
            "log-mel": _ms(lambda: predictor.spectrograms(clips)),
            "network": _ms(lambda: predictor.logits(spectrograms)),
            "both": _ms(whole),
            "both as a graph": _ms(graph.replay),
        }


def _ms(work: Callable[[], object]) -> float:
    """The median of some."""
    seconds = []
    for _ in range(REPEATS):
        torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return 1000 * median(seconds)


if __name__ == "__main__":
    main()
