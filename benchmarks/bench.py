"""`make bench`: what a command costs, and the daemon against the plain pipeline, in one run.

make bench                      # prints; finds ESC-10 by ESC10_DIR, else makes its own sounds
make bench RECORD=1             # also appends to benchmarks/RESULTS.md
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import click
import numpy as np
import soundfile
import torch

from benchmarks.big_ledger import fill_ledger
from benchmarks.memory import peak_tree_mb
from classifier.checkpoint import encode_checkpoint
from classifier.clip_classifier import ClipClassifier
from storage.home import Home
from storage.settings import load_settings
from storage.shelf import Shelf
from trainer.recipes import Recipe, recipe_with
from trainer.synthesis import VOICES, make_set

RESULTS = Path(__file__).with_name("RESULTS.md")
REPEATS = 7
LEDGER_ROWS = 100_000
LONG_MINUTES, LONG_RATE_HZ = 90, 44_100
SMALL: dict[str, Any] = {"widths": (16, 32, 64, 128), "n_mels": 64}


@click.command()
@click.option("--files", default=100, show_default=True, help="Recordings for the pipelines.")
@click.option("--record", is_flag=True, help="Append to benchmarks/RESULTS.md.")
def main(files: int, record: bool) -> None:
    """Measures this checkout on this machine."""
    lines = [f"## {datetime.now(UTC):%Y-%m-%d}, {_machine()}", "", f"`{_command()}`", ""]
    lines += ["| what | figure |", "|---|---|"]
    for what, figure in chain(_commands(), _pipelines(files), _long_recording()):
        click.echo(f"{what}: {figure}", err=True)
        lines.append(f"| {what} | {figure} |")
    text = "\n".join(lines) + "\n"
    click.echo(text)
    if record:
        with RESULTS.open("a") as file:
            file.write(f"\n{text}")


def _commands() -> Iterator[tuple[str, str]]:
    """Wall time of light commands: the median, after a first run that warms the caches."""
    with _home() as home:
        fill_ledger(load_settings(home, environ={}), LEDGER_ROWS)
        for arguments in (["--help"], ["results"], ["results", "--count-by", "label"], ["status"]):
            seconds = _median_seconds(["--home", str(home.root), *arguments])
            rows = f" on {LEDGER_ROWS:,} rows" if arguments != ["--help"] else ""
            yield f"`clfd {' '.join(arguments)}`{rows}, median of {REPEATS}", f"{seconds:.2f} s"


def _median_seconds(arguments: list[str]) -> float:
    command = [sys.executable, "-m", "clfd", *arguments]
    times = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        subprocess.run(command, capture_output=True)
        times.append(time.perf_counter() - began)
    return sorted(times[1:])[REPEATS // 2]


def _pipelines(n_files: int) -> Iterator[tuple[str, str]]:
    """Files a second, start-up excluded, in both pipelines on the same files."""
    small, reference = recipe_with("reference", **SMALL), recipe_with("reference")
    with tempfile.TemporaryDirectory() as folder:
        files, what = _recordings(Path(folder), n_files)
        plain = _plain_rate(files)
        yield f"plain librosa pipeline, {len(files)} {what}", f"{plain:.1f} files/s"
        networks = {"the reference's network": reference, "widths 16-128, 64 bands": small}
        for name, recipe in networks.items():
            rate, peak_mb = _daemon_rate(files, recipe)
            yield (
                f"`clfd run --once`, {name}, the same files",
                f"{rate:.1f} files/s, {rate / plain:.1f} times the plain pipeline; "
                f"{peak_mb:.0f} MB in all its processes",
            )


def _long_recording() -> Iterator[tuple[str, str]]:
    """One WAV of noise that no memory should notice, with the largest network there is."""
    with tempfile.TemporaryDirectory() as folder:
        path, noise = Path(folder, "long.wav"), np.random.default_rng(0)
        with soundfile.SoundFile(path, "w", LONG_RATE_HZ, 1, "PCM_16") as file:
            for _ in range(LONG_MINUTES):
                file.write(0.1 * noise.standard_normal(60 * LONG_RATE_HZ))
        rate, peak_mb = _daemon_rate([path], recipe_with("reference"))
        times = rate * LONG_MINUTES * 60
        yield (
            f"`clfd run --once`, the reference's network, one WAV of {LONG_MINUTES} minutes",
            f"{times:.0f} times real time; {peak_mb:.0f} MB in all its processes",
        )


def _recordings(folder: Path, n_files: int) -> tuple[list[Path], str]:
    esc10 = os.environ.get("ESC10_DIR")
    if esc10:
        return sorted(Path(esc10, "audio").glob("*.ogg"))[:n_files], "ESC-10 clips (Ogg, 5 s)"
    make_set(folder, tuple(VOICES), -(-n_files // len(tuple(VOICES))), seed=0)
    found = sorted(path for path in folder.rglob("*") if path.suffix in (".wav", ".flac", ".ogg"))
    return found[:n_files], "synthetic recordings (0.6 to 2.5 s)"


def _plain_rate(files: list[Path]) -> float:
    command = [sys.executable, "-m", "benchmarks.plain_pipeline", *map(str, files)]
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    answer = json.loads(output)
    return float(answer["files"] / answer["seconds"])


def _daemon_rate(files: list[Path], recipe: Recipe) -> tuple[float, float]:
    """From the first claim to the last row, by the ledger's own times; peak memory in MB."""
    with _home() as home:
        _activate_untrained(home, recipe)
        for file in files:
            shutil.copyfile(file, home.inbox / file.name)
        command = [sys.executable, "-m", "clfd", "--home", str(home.root), "-q", "run", "--once"]
        daemon = subprocess.Popen(command)
        peak_mb = peak_tree_mb(daemon)
        if daemon.returncode:
            raise click.ClickException(f"the daemon ended with status {daemon.returncode}")
        return len(files) / _working_seconds(home), peak_mb


def _working_seconds(home: Home) -> float:
    from storage.database import open_database
    from storage.times import from_stamp

    with (
        open_database(load_settings(home, environ={}).database, "reader") as database,
        database.transaction() as connection,
    ):
        query = "SELECT min(first_seen_at), max(answered_at) FROM recording"
        first, last = connection.exec_driver_sql(query).one()
    return (from_stamp(last) - from_stamp(first)).total_seconds()


def _activate_untrained(home: Home, recipe: Recipe) -> None:
    torch.manual_seed(0)
    labels = tuple(VOICES)
    model = ClipClassifier(labels, recipe.audio_format, recipe.network_shape, recipe.mel_bank())
    shape, now = recipe.network_shape, datetime.now(UTC)
    name, data = encode_checkpoint(model, labels, shape, {}, now)
    shelf = Shelf(home.checkpoints)
    shelf.put(name, data)
    shelf.activate(name)


@contextmanager
def _home() -> Iterator[Home]:
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        home.create()
        yield home


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    name = models[0] if models else platform.machine()
    return f"{os.cpu_count()} cores of {name}, {device}, torch {torch.__version__}"


def _command() -> str:
    return f"python -m benchmarks.bench {' '.join(sys.argv[1:])}".strip()


if __name__ == "__main__":
    main()
