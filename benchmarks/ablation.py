"""What each choice of the recipe is worth, on ESC-10's official folds.

ESC10_DIR=... python -m benchmarks.ablation OUT.jsonl VARIANT... --folds 1,5 --epochs 60

Every run keeps its last epoch: nothing is chosen on the fold that is reported. A run that stands in
OUT.jsonl already is not made again, so that a broken series goes on; then its table is printed.
"""

from __future__ import annotations

import itertools
import json
import os
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import click
import pandas as pd
import torch

from classifier.model.resnet9 import widths_from
from classifier.workers.malloc import keep_freed_memory
from classifier.workers.pool import DecodePool
from trainer.data.dataset import Dataset, load_dataset
from trainer.data.labels import read_labels
from trainer.data.splits import SplitChoice, split_examples
from trainer.evaluation.metrics import answer_recordings, evaluate
from trainer.training.loop import train_network
from trainer.training.recipe import DEFAULT, REFERENCE, Recipe

BASE = replace(DEFAULT, name="base", epochs=75, settle=False, fits_the_files=False)
RUN = ["variant", "fold", "seed", "epochs"]


def _vary(**changes: Any) -> Recipe:
    return replace(BASE, augmentation=replace(BASE.augmentation, **changes))


VARIANTS = {
    "reference": REFERENCE,
    "base": BASE,
    "settled": replace(BASE, settle=True),
    "no equaliser": _vary(equalise_decibels=0.0),
    "equaliser 6 dB": _vary(equalise_decibels=6.0),
    "equaliser 18 dB": _vary(equalise_decibels=18.0),
    "no equaliser, speed 1.25": _vary(equalise_decibels=0.0, speed=1.25),
    "no mixing": _vary(mixing=0.0),
    "all mixed": _vary(mixing=1.0),
    "no masks": _vary(band_masks=0, time_masks=0),
    "wide masks": _vary(mask_share=0.25),
    "no shift": _vary(shift=False),
    "mean pooling": replace(BASE, max_pooling=False),
    "peak decibels": replace(BASE, peak_decibels=True),
    "batch 32": replace(BASE, batch_size=32),
    "decay 0.1": replace(BASE, weight_decay=0.1),
    "rate 0.01": replace(BASE, learning_rate=1e-2),
    **{f"width {width}": replace(BASE, widths=widths_from(width)) for width in (8, 24, 32, 45)},
    "128 bands": replace(BASE, n_mels=128),
}


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("names", nargs=-1, type=click.Choice(sorted(VARIANTS)), metavar="VARIANT...")
@click.option("--folds", default="1,2,3,4,5", show_default=True)
@click.option("--seeds", default="0", show_default=True)
@click.option("--epochs", type=int, help="Instead of the variant's own.")
def main(out: Path, names: tuple[str, ...], folds: str, seeds: str, epochs: int | None) -> None:
    """Trains every VARIANT on every fold with every seed, and prints means over the runs."""
    keep_freed_memory()
    out.touch()
    results = [json.loads(line) for line in out.read_text().splitlines()]
    done = {tuple(result[key] for key in RUN) for result in results}
    for name, seed, fold in itertools.product(names, seeds.split(","), folds.split(",")):
        task = name, int(fold), int(seed), epochs or VARIANTS[name].epochs
        if task not in done:
            results.append(dict(zip(RUN, task, strict=True)) | _train(*task))
            with out.open("a") as file:
                file.write(json.dumps(results[-1]) + "\n")
    if results:
        groups = pd.DataFrame(results).groupby(["variant", "epochs"], sort=False)
        click.echo(groups.mean(numeric_only=True).drop(columns=["fold", "seed"]).round(4))


def _train(name: str, fold: int, seed: int, epochs: int) -> dict[str, float]:
    recipe = replace(VARIANTS[name], epochs=epochs)
    dataset = _dataset(recipe.sample_rate_hz, recipe.clip_seconds)
    groups = [example.group for example in dataset.examples]
    split = split_examples(dataset.examples, groups, SplitChoice(fold=fold))
    trained = train_network(dataset, replace(split, validation=()), recipe, seed)
    scores = answer_recordings(
        trained.model, dataset.labels, dataset, split.validation, recipe.batch_size
    ).scores
    found = evaluate(scores, dataset.truth.numpy()[list(split.validation)], dataset.labels)
    seconds = sum(facts.seconds for facts in trained.history) / epochs
    figures = {"accuracy": found.accuracy, "nll": found.loss, "ece": found.ece}
    return {**figures, "seconds_per_epoch": round(seconds, 3)}


@cache
def _dataset(sample_rate_hz: int, clip_seconds: float) -> Dataset:
    labels = read_labels(Path(os.environ["ESC10_DIR"], "labels.csv"), ())
    audio_format = Recipe(sample_rate_hz=sample_rate_hz, clip_seconds=clip_seconds).audio_format
    with DecodePool[int](1, 60.0) as pool:
        return load_dataset(labels.examples, audio_format, pool, torch.device("cpu"))


if __name__ == "__main__":
    main()
