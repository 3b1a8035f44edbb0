"""ESC-10 cut into slices of one second, divided at random: the reference's own way to count.

ESC10_DIR=... python -m benchmarks.slices --epochs 10 --seeds 0,1,2,3,4 [OPTIONS OF clfd train]

Slices of one recording stand on both sides, so the figure flatters: it is for comparison with the
notebook only, which divided its slices so. Slices of digital silence are left out, since they have
no label.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import soundfile

SECONDS, SHARE_OUT, QUIET = 1.0, 0.1, 1e-4


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--epochs", default=20, show_default=True)
@click.option("--seeds", default="0", show_default=True, help="Of division and training.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def main(epochs: int, seeds: str, options: tuple[str, ...]) -> None:
    """Trains once for each seed and prints the accuracies on slices out of sight."""
    slices = list(_slices(Path(os.environ["ESC10_DIR"])))
    accuracies = []
    for seed in map(int, seeds.split(",")):
        outcome = _train(slices, seed, "--epochs", str(epochs), *options)
        accuracies.append(outcome["val_accuracy"])
        click.echo(
            f"seed {seed}: {len(slices)} slices, {outcome['val_examples']} of them out of sight: "
            f"{accuracies[-1]:.1%} after {epochs} epochs in {outcome['seconds']:.0f} s"
        )
    click.echo(f"mean of {len(accuracies)}: {np.mean(accuracies):.1%}")


def _train(slices: list[tuple[str, str, float]], seed: int, *options: str) -> dict[str, Any]:
    """The object of `clfd train --json`."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "slices.csv")
        _write(table, slices, seed)
        command = [sys.executable, "-m", "clfd", "--home", f"{folder}/home", "train", str(table)]
        command += ["--seed", str(seed), "--clip-seconds", str(SECONDS), *options, "--json"]
        finished = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    outcome: dict[str, Any] = json.loads(finished.stdout)
    return outcome


def _slices(esc10: Path) -> Iterator[tuple[str, str, float]]:
    """Path, label and start of each second in which something sounds."""
    with (esc10 / "labels.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            path = esc10 / row["path"]
            samples, rate_hz = soundfile.read(path, always_2d=True)
            for start in range(int(len(samples) / rate_hz / SECONDS)):
                part = samples[int(start * rate_hz) : int((start + SECONDS) * rate_hz)]
                if np.abs(part).max() > QUIET:
                    yield str(path), row["label"], start * SECONDS


def _write(table: Path, slices: list[tuple[str, str, float]], seed: int) -> None:
    """Each slice is a group of its own: what a random split takes for independent."""
    out = np.random.default_rng(seed).random(len(slices)) < SHARE_OUT
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "start", "end", "group", "split"])
        for number, ((path, label, start), held_out) in enumerate(zip(slices, out, strict=True)):
            split = "val" if held_out else "train"
            writer.writerow([path, label, start, start + SECONDS, number, split])


if __name__ == "__main__":
    main()
