"""What `--balance` is worth where some labels have a hundred times the examples of others.

ESC10_DIR=... python -m benchmarks.imbalance --folds 1,2 --epochs 40

Seconds of ESC-10: of five labels all that lie in the training folds, of five others three of them.
Measured on one second of each recording of the fold left out, so that every label counts alike.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pandas as pd
import torch

from classifier.model.classifier import Task
from classifier.workers.malloc import keep_freed_memory
from classifier.workers.pool import DecodePool
from trainer.data.dataset import Dataset, load_dataset
from trainer.data.examples import Example
from trainer.data.labels import read_labels
from trainer.data.splits import Split
from trainer.evaluation.metrics import answer_recordings, evaluate, ranking_quality
from trainer.training.batches import BALANCES
from trainer.training.loop import train_network
from trainer.training.recipe import DEFAULT

COMMON = ("chainsaw", "fire_crackling", "helicopter", "rain", "sea_waves")
SECONDS_OF_COMMON = np.arange(0, 4, 0.4)
EXAMPLES_OF_RARE = 3
RECIPE = replace(DEFAULT, clip_seconds=1.0, sample_rate_hz=22_050, fits_the_files=False)


@click.command()
@click.option("--folds", default="1,2", show_default=True)
@click.option("--seeds", default="0", show_default=True)
@click.option("--epochs", default=40, show_default=True)
@click.option("--tasks", default="single,multi", show_default=True)
def main(folds: str, seeds: str, epochs: int, tasks: str) -> None:
    """Trains with each balance, and prints means over folds and seeds."""
    keep_freed_memory()
    dataset = _seconds()
    runs = []
    ways = itertools.product(tasks.split(","), folds.split(","), seeds.split(","), BALANCES)
    for task, fold, seed, balance in ways:
        of_task = _of_task(dataset, "multi" if task == "multi" else "single")
        split = _split(of_task.examples, int(fold), int(seed))
        recipe = replace(RECIPE, epochs=epochs, balance=balance)
        model = train_network(of_task, replace(split, validation=()), recipe, int(seed)).model
        scores = answer_recordings(model, of_task.labels, of_task, split.validation, 64).scores
        bears = torch.zeros(len(scores), len(dataset.labels), dtype=torch.bool)
        truth = dataset.truth[list(split.validation)]
        bears[torch.arange(len(scores)), truth] = True
        found, macro_ap = evaluate(scores, truth.numpy(), dataset.labels), ranking_quality
        rare = [each.recall for each in found.per_label if each.label not in COMMON]
        runs.append(
            {"task": task, "balance": balance, "fold": int(fold), "macro_f1": found.macro_f1}
            | {"recall_of_rare": float(np.mean(rare)), "accuracy": found.accuracy}
            | {"macro_ap": macro_ap(scores, bears.numpy()).macro_ap}
        )
        click.echo(runs[-1], err=True)
    click.echo(pd.DataFrame(runs).groupby(["task", "balance"], sort=False).mean().round(4))


def _seconds() -> Dataset:
    labels = read_labels(Path(os.environ["ESC10_DIR"], "labels.csv"), ())
    parts = [
        replace(example, start_seconds=float(start), end_seconds=float(start) + 1)
        for example in labels.examples
        for start in (SECONDS_OF_COMMON if example.label in COMMON else [0.0])
    ]
    with DecodePool[int](1, 60.0) as pool:
        return load_dataset(parts, RECIPE.audio_format, pool, torch.device("cpu"))


def _of_task(dataset: Dataset, task: Task) -> Dataset:
    if task == "single":
        return dataset
    several = tuple(each.with_labels([each.label]) for each in dataset.examples)
    return replace(dataset, examples=several)


def _split(examples: Sequence[Example], fold: int, seed: int) -> Split:
    order = np.random.RandomState(seed).permutation(len(examples)).tolist()
    taken: Counter[str] = Counter()
    train, validation = [], []
    for at in order:
        example = examples[at]
        if example.fold == fold:
            validation += [at] if example.start_seconds == 0 else []
        elif example.label in COMMON or taken[example.label] < EXAMPLES_OF_RARE:
            taken[example.label] += 1
            train.append(at)
    return Split(tuple(sorted(train)), tuple(sorted(validation)), "a hundred to one")


if __name__ == "__main__":
    main()
