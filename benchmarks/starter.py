"""The starter checkpoint: the default recipe on all of ESC-10, as it is shipped in the package.

ESC10_DIR=... python -m benchmarks.starter --home FOLDER

Cross-validates and trains in FOLDER, unless its active checkpoint was made so already: most of an
hour on two cores, and it goes on where it was stopped. Weights are rounded to bfloat16.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import torch

from classifier.model.checkpoint import SUFFIX, Checkpoint, encode_checkpoint, read_checkpoint
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.paths import Home

FOLDER = Path(__file__).parents[1] / "classifier" / "model" / "starter"
MAX_BYTES = 4_000_000
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
        labels = Path(os.environ["ESC10_DIR"], "labels.csv")
        command = [sys.executable, "-m", "clfd", "--home", str(home), "train", str(labels)]
        Home(home).create()
        subprocess.run([*command, "--cross-validate", "--resume"], check=True)
    path = write_starter(read_checkpoint(checkpoints.path(checkpoints.find("active"))))
    click.echo(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


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
