"""The starter checkpoint: the default recipe on all of ESC-10 and on sounds of none of its kinds.

ESC10_DIR=... python -m benchmarks.starter --home FOLDER

The others are made from numbers (see `negatives`) and bear the label `none`. Cross-validates and
trains in FOLDER, unless its active checkpoint was made so already: more than an hour on two cores,
and it goes on where it was stopped. Weights are rounded to bfloat16.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import torch

from benchmarks.negatives import make_negatives
from classifier.model.checkpoint import SUFFIX, Checkpoint, encode_checkpoint, read_checkpoint
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.paths import Home

FOLDER = Path(__file__).parents[1] / "classifier" / "model" / "starter"
MAX_BYTES = 4_000_000
NEGATIVES_PER_FOLD = 80  # as many as ESC-10 has
SEED = 0
ATTRIBUTION = (
    "ESC-10, part of ESC: Dataset for Environmental Sound Classification by Karol J. Piczak "
    "(https://github.com/karolpiczak/ESC-50), of recordings by freesound.org contributors, "
    "CC BY 3.0"
)


@click.command()
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), required=True)
def main(home: Path) -> None:
    """Writes classifier/model/starter/NAME.safetensors in place of the one that is there."""
    checkpoints = CheckpointFolder(home / "checkpoints")
    if not checkpoints.folder.is_dir() or checkpoints.active() is None:
        labels = write_labels(Path(os.environ["ESC10_DIR"]), home / "starter")
        command = [sys.executable, "-m", "clfd", "--home", str(home), "train", str(labels)]
        Home(home).create()
        subprocess.run([*command, "--cross-validate", "--resume"], check=True)
    path = write_starter(read_checkpoint(checkpoints.path(checkpoints.find("active"))))
    click.echo(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


def write_labels(esc10: Path, folder: Path) -> Path:
    """The table of ESC-10 and of the negatives, which are made beside it."""
    with (esc10 / "labels.csv").open(encoding="utf-8") as table:
        rows = [
            [str(esc10 / row["path"]), row["label"], row["fold"], row["group"]]
            for row in csv.DictReader(table)
        ]
    folds = sorted({int(fold) for _, _, fold, _ in rows})
    for row in make_negatives(folder / "none", folds, NEGATIVES_PER_FOLD, SEED):
        rows.append([*row, Path(row[0]).stem])
    labels = folder / "labels.csv"
    with labels.open("w", newline="", encoding="utf-8") as table:
        csv.writer(table).writerows([["path", "label", "fold", "group"], *rows])
    return labels


def write_starter(trained: Checkpoint) -> Path:
    """The same network with rounded weights and a word on its origin."""
    facts = dict(trained.description.training)
    if facts.get("mean_accuracy") is None:
        raise click.ClickException(f"{trained.name} was not cross-validated")
    facts |= {"starter": True, "attribution": ATTRIBUTION, "license": "CC BY 3.0"}
    facts |= {"promotion": {"promoted": True, "reason": "it comes with clfd"}}
    name, data = encode_checkpoint(
        trained.build(),
        trained.labels,
        trained.description.network,
        facts,
        datetime.fromisoformat(facts["created_at"]).astimezone(UTC),
        weights_dtype=torch.bfloat16,
        thresholds=trained.description.thresholds,
        novelty=trained.novelty,
    )
    if len(data) > MAX_BYTES:
        raise click.ClickException(f"{name} is larger than {MAX_BYTES / 1e6:.0f} MB")
    for old in FOLDER.glob(f"*{SUFFIX}"):
        old.unlink()
    path = FOLDER / f"{name}{SUFFIX}"
    path.write_bytes(data)
    read_checkpoint(path)
    return path


if __name__ == "__main__":
    main()
