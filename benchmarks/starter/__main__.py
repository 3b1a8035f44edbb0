"""The starter checkpoint: the default recipe on all of ESC-10 and on sounds of none of its kinds.

ESC10_DIR=... python -m benchmarks.starter --home FOLDER

The others are made (see `negatives`) and bear the label `none`. Cross-validates and trains in
FOLDER: an hour on two cores, and it goes on where it was stopped. By ESC-10's clips in folds left
out `none` then gets an offset, and its accuracy is measured. Weights are rounded to bfloat16.
"""

from __future__ import annotations

import csv
import os
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import torch

from benchmarks.starter.negatives import Clip, make_negatives
from classifier.model.checkpoint import SUFFIX, Checkpoint, encode_checkpoint, read_checkpoint
from classifier.workers.malloc import keep_freed_memory
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.paths import Home
from storage.settings.loading import load_settings
from storage.values.decision import NONE
from trainer.console import ProgressConsole
from trainer.evaluation.assessment import ClipPredictions
from trainer.evaluation.calibration import concatenate
from trainer.evaluation.recording_answers import Marks
from trainer.train import assess_and_publish, open_run, train_all
from trainer.training.prepare import RunContext, prepare
from trainer.training.request import train_request

FOLDER = Path(__file__).parents[2] / "classifier" / "model" / "starter"
MAX_BYTES = 4_000_000
NEGATIVES_PER_FOLD = 180  # made from numbers, beside one of each clip
EPOCHS = 55  # in which a clip of ESC-10 is taken as often as in 150 of ESC-10 alone
LOST = 0.035  # of ESC-10's clips in folds left out, what may be answered `none`
SEED = 0
WITHOUT_NONE = "right, were `none` no label"
ATTRIBUTION = (
    "ESC-10, part of ESC: Dataset for Environmental Sound Classification by Karol J. Piczak "
    "(https://github.com/karolpiczak/ESC-50), of recordings by freesound.org contributors, "
    "CC BY 3.0"
)


@click.command()
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), required=True)
def main(home: Path) -> None:
    """Writes classifier/model/starter/NAME.safetensors in place of the one that is there."""
    began = time.perf_counter()
    keep_freed_memory()
    labels = home / "starter" / "labels.csv"
    if not labels.exists():
        write_labels(Path(os.environ["ESC10_DIR"]), labels)
    request = train_request(labels, cross_validate=True, resume=True, epochs=EPOCHS)
    house, device = Home(home), torch.device("cpu")
    house.create()
    context = RunContext(request, house, load_settings(house, {}), device, ProgressConsole(0))
    data = prepare(context)
    with open_run(context, data) as run_state:
        trained, by_fold, distances = train_all(context, data, run_state)
        report = assess_and_publish(context, data, trained, by_fold, distances, began)
    published = CheckpointFolder(house.checkpoints).path(report.title)
    path = write_starter(read_checkpoint(published), by_fold)
    click.echo(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


def write_labels(esc10: Path, labels: Path) -> None:
    """The table of ESC-10 and of the negatives, which are made beside it."""
    with (esc10 / "labels.csv").open(encoding="utf-8") as table:
        clips = [
            Clip(esc10 / row["path"], row["label"], int(row["fold"]), row["group"])
            for row in csv.DictReader(table)
        ]
    negatives = make_negatives(labels.parent / "none", clips, NEGATIVES_PER_FOLD, SEED)
    with labels.open("w", newline="", encoding="utf-8") as table:
        csv.writer(table).writerows([Clip._fields, *clips, *negatives])


def write_starter(trained: Checkpoint, by_fold: Mapping[int, ClipPredictions]) -> Path:
    """The same network with rounded weights, an offset, and a word on its origin."""
    held_out = HeldOut.of(by_fold, trained.labels)
    measured = figures(held_out)
    for name, each in measured.items():
        click.echo(f"{name}: {np.mean(each):.2%} {np.round(each, 4).tolist()}")
    accuracies, offset = measured["right"], held_out.offset()
    model = trained.build()
    with torch.no_grad():
        model.network.head[-1].bias[trained.labels.index(NONE)] += offset
    facts = {
        **trained.description.training,
        "folds": [
            {"fold": fold, "val_accuracy": accuracy, "val_macro_ap": None}
            for fold, accuracy in zip(sorted(by_fold), accuracies, strict=True)
        ],
        "mean_accuracy": float(np.mean(accuracies)),
        "std_accuracy": float(np.std(accuracies)),
        "mean_accuracy_without_none": float(np.mean(measured[WITHOUT_NONE])),
        "offset_of_none": offset,
        "starter": True,
        "attribution": ATTRIBUTION,
        "license": "CC BY 3.0",
        "promotion": {"promoted": True, "reason": "it comes with clfd"},
    }
    name, data = encode_checkpoint(
        model,
        trained.labels,
        trained.description.network,
        facts,
        datetime.fromisoformat(facts["created_at"]).astimezone(UTC),
        weights_dtype=torch.bfloat16,
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


@dataclass(frozen=True)
class HeldOut:
    """Of held-out recordings (R,): fold, whether it bears a label of ESC-10, whether the best one
    is right, and by how much the logit of that one is above that of `none`.
    """

    fold: npt.NDArray[np.int64]
    is_known: Marks
    is_right: Marks
    margin: npt.NDArray[np.float64]

    @classmethod
    def of(cls, by_fold: Mapping[int, ClipPredictions], labels: Sequence[str]) -> HeldOut:
        """The scores of several clips are pooled as they are served, and taken back to logits."""
        none = labels.index(NONE)
        truth = np.concatenate([each.truth for each in by_fold.values()])
        logits = concatenate([each.clip_logits for each in by_fold.values()])
        scores = np.log(np.maximum(logits.scores(1.0).astype(np.float64), 1e-30))
        named = np.delete(scores, none, axis=1)
        best = np.delete(np.arange(len(labels)), none)[named.argmax(1)]
        return cls(
            fold=np.repeat(list(by_fold), [len(each.positions) for each in by_fold.values()]),
            is_known=truth != none,
            is_right=best == truth,
            margin=named.max(1) - scores[:, none],
        )

    def part(self, chosen: Marks) -> HeldOut:
        return HeldOut(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def offset(self) -> float:
        """The highest that loses no more than LOST."""
        margins = np.sort(self.margin[self.is_known])
        return round(float(margins[int(LOST * len(margins))]) - 0.0005, 3)


def figures(held_out: HeldOut) -> dict[str, list[float]]:
    """Shares of each fold, under the offset of the others."""
    found: dict[str, list[float]] = defaultdict(list)
    for fold in sorted(set(held_out.fold.tolist())):
        own, others = (held_out.part(held_out.fold == fold), held_out.part(held_out.fold != fold))
        is_named = own.margin >= others.offset()
        known = own.is_known
        found["right"].append(float((is_named & own.is_right)[known].mean()))
        found[WITHOUT_NONE].append(float(own.is_right[known].mean()))
        found["lost"].append(float(1 - is_named[known].mean()))
        found["negatives named"].append(float(is_named[~known].mean()))
    return dict(found)


if __name__ == "__main__":
    main()
