"""One epoch of training against one epoch of the plain loop, on the same fold in the same run.

ESC10_DIR=... python -m benchmarks.epoch_time --fold 1

The plain loop decodes, computes spectrograms and learns anew in every epoch, with two workers;
clfd's first epoch includes nothing of decoding, which is timed apart.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from benchmarks.plain_pipeline import WORKERS, Spectrograms, network
from trainer.data.labels import read_labels

PLAIN_BATCH = 32


@click.command()
@click.option("--fold", default=1, show_default=True)
@click.option("--epochs", default=10, show_default=True, help="Of clfd; the median is taken.")
@click.option("--recipe", default="default", show_default=True)
@click.option("--widths", default="", help="Widths to time, such as 16,32; else the recipe's.")
def main(fold: int, epochs: int, recipe: str, widths: str) -> None:
    """Prints seconds an epoch and the ratio."""
    table = Path(os.environ["ESC10_DIR"], "labels.csv")
    plain = plain_epoch(table, fold)
    click.echo(f"plain loop: {plain:.1f} s an epoch")
    for width in widths.split(","):
        options = ["--recipe", recipe, *(["--width", width] if width else [])]
        ours, decoding = clfd_epoch(table, fold, epochs, options)
        click.echo(
            f"clfd train {' '.join(options)}: {ours:.2f} s an epoch (median of {epochs}, with "
            f"validation), {plain / ours:.0f} times faster; everything else {decoding:.0f} s"
        )


def plain_epoch(table: Path, fold: int) -> float:
    """Training and validation, as the notebook does it."""
    examples = read_labels(table, ()).examples
    names = sorted({example.label for example in examples})
    model = network().train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    parts = {out: [e for e in examples if (e.fold == fold) is out] for out in (False, True)}
    began = time.perf_counter()
    for out, part in parts.items():
        truth = torch.tensor([names.index(example.label) for example in part])
        paths = [str(example.path) for example in part]
        model.train(not out)
        at = 0
        for batch in DataLoader(Spectrograms(paths), PLAIN_BATCH, num_workers=WORKERS):
            with torch.set_grad_enabled(not out):
                loss = cross_entropy(model(batch), truth[at : at + len(batch)])
            at += len(batch)
            if not out:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return time.perf_counter() - began


def clfd_epoch(table: Path, fold: int, epochs: int, options: list[str]) -> tuple[float, float]:
    """Median seconds of an epoch, and of the whole command without its epochs."""
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "clfd", "--home", home, "-q", "train", str(table)]
        command += ["--fold", str(fold), "--epochs", str(epochs), "--json", *options]
        began = time.perf_counter()
        finished = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        whole = time.perf_counter() - began
    seconds = [epoch["seconds"] for epoch in json.loads(finished.stdout)["history"]]
    return statistics.median(seconds), whole - sum(seconds)


if __name__ == "__main__":
    main()
