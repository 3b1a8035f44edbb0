"""What each choice of the recipe is worth, on ESC-10's official folds.

ESC10_DIR=... python -m benchmarks.ablation run OUT.jsonl --folds 1,5 --epochs 60 VARIANT...
python -m benchmarks.ablation table OUT.jsonl

Every run keeps its last epoch: nothing is chosen on the fold that is reported. A run that stands in
OUT.jsonl already is not made again, so that a broken series goes on.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from benchmarks.variants import VARIANTS
from classifier.model.flops import gflop_per_clip
from classifier.workers.malloc import keep_freed_memory
from classifier.workers.pool import DecodePool
from trainer.data.dataset import Dataset, load_dataset
from trainer.data.labels import read_labels
from trainer.data.splits import SplitChoice, split_examples
from trainer.evaluation.metrics import (
    accuracy,
    cross_entropy,
    expected_calibration_error,
    score_recordings,
)
from trainer.training.loop import settle_statistics, train_network
from trainer.training.recipe import Recipe

MEASURED = ("accuracy", "nll", "settled_accuracy", "settled_nll")
Task = tuple[str, int, int, int]  # variant, fold, seed, epochs


@click.group()
def main() -> None:
    """Measures variants of the recipe."""


@main.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("names", nargs=-1, type=click.Choice(sorted(VARIANTS)), metavar="VARIANT...")
@click.option("--folds", default="1,2,3,4,5", show_default=True)
@click.option("--seeds", default="0", show_default=True)
@click.option("--epochs", type=int, help="Instead of the variant's own.")
@click.option("--jobs", default=2, show_default=True, help="Runs at a time; they share the cores.")
def run(
    out: Path, names: Sequence[str], folds: str, seeds: str, epochs: int | None, jobs: int
) -> None:
    """Trains every VARIANT on every fold with every seed."""
    done = {_key(result) for result in _results(out)}
    tasks = [
        (name, fold, seed, epochs or VARIANTS[name].epochs)
        for name in names
        for seed in map(int, seeds.split(","))
        for fold in map(int, folds.split(","))
    ]
    wanted = [task for task in tasks if task not in done]
    threads = max(1, (os.cpu_count() or 1) // jobs)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _begin, (threads,)) as pool:
        for result in pool.map(_train, wanted):
            with out.open("a") as file:
                file.write(json.dumps(result) + "\n")
            click.echo(
                f"{result['variant']:28} fold {result['fold']} seed {result['seed']} "
                f"{result['epochs']:4} epochs  {result['accuracy']:.4f}  nll {result['nll']:.3f}  "
                f"settled {result['settled_accuracy']:.4f} {result['settled_nll']:.3f}  "
                f"{result['seconds_per_epoch']:.2f} s/epoch",
                err=True,
            )


@main.command()
@click.argument("out", type=click.Path(exists=True, path_type=Path))
def table(out: Path) -> None:
    """Means over the folds of each variant, over seeds, as Markdown."""
    click.echo(
        "| recipe | GFLOP | epochs | folds | seeds | accuracy | between seeds | log-loss "
        "| settled accuracy | settled log-loss | ece |"
    )
    click.echo("|---|---|---|---|---|---|---|---|---|---|---|")
    series = defaultdict(list)
    for result in _results(out):
        series[result["variant"], result["epochs"]].append(result)
    for (name, epochs), results in series.items():
        click.echo(_line(name, epochs, results))


def _line(name: str, epochs: int, results: list[dict[str, Any]]) -> str:
    seeds = sorted({result["seed"] for result in results})
    folds = sorted({result["fold"] for result in results})
    by_seed = [[r for r in results if r["seed"] == seed] for seed in seeds]
    means = [np.mean([r["accuracy"] for r in each]) for each in by_seed]
    eces = []
    for each in by_seed:
        scores, truth = (
            np.concatenate([np.array(r[key]) for r in each]) for key in ("scores", "truth")
        )
        eces.append(expected_calibration_error(scores, truth))
    recipe = VARIANTS[name]
    gflop = gflop_per_clip(recipe.audio_format, recipe.network_shape, len(results[0]["scores"][0]))
    mean = {key: np.mean([r[key] for r in results]) for key in MEASURED}
    return (
        f"| {name} | {gflop:.2f} | {epochs} | {','.join(map(str, folds))} "
        f"| {','.join(map(str, seeds))} | {mean['accuracy']:.2%} | {np.std(means):.2%} "
        f"| {mean['nll']:.3f} | {mean['settled_accuracy']:.2%} | {mean['settled_nll']:.3f} "
        f"| {np.mean(eces):.3f} |"
    )


def _begin(threads: int) -> None:
    torch.set_num_threads(threads)
    keep_freed_memory()


def _train(task: Task) -> dict[str, Any]:
    name, fold, seed, epochs = task
    recipe = replace(VARIANTS[name], epochs=epochs)
    dataset = _dataset(recipe.sample_rate_hz, recipe.clip_seconds)
    split = split_examples(dataset.examples, _groups(dataset), SplitChoice(fold=fold))
    began = time.perf_counter()
    trained = train_network(dataset, replace(split, validation=()), recipe, seed)
    seconds = (time.perf_counter() - began) / epochs
    scores = score_recordings(trained.model, dataset, split.validation, recipe.batch_size)
    truth = dataset.truth.numpy()[list(split.validation)]
    settle_statistics(trained.model, dataset, dataset.clips_of(split.train), recipe.batch_size)
    settled = score_recordings(trained.model, dataset, split.validation, recipe.batch_size)
    return {
        **dict(zip(("variant", "fold", "seed", "epochs"), task, strict=True)),
        "accuracy": accuracy(scores, truth),
        "nll": cross_entropy(scores, truth),
        "settled_accuracy": accuracy(settled, truth),
        "settled_nll": cross_entropy(settled, truth),
        "seconds_per_epoch": round(seconds, 3),
        "train_loss": [round(facts.train_loss, 4) for facts in trained.history],
        "scores": np.round(scores.astype(float), 5).tolist(),
        "truth": truth.tolist(),
    }


@cache
def _dataset(sample_rate_hz: int, clip_seconds: float) -> Dataset:
    labels = read_labels(Path(os.environ["ESC10_DIR"], "labels.csv"), ())
    audio_format = Recipe(sample_rate_hz=sample_rate_hz, clip_seconds=clip_seconds).audio_format
    with DecodePool[int](1, 60.0) as pool:
        return load_dataset(labels.examples, audio_format, pool, torch.device("cpu"))


def _groups(dataset: Dataset) -> list[str]:
    return [example.group for example in dataset.examples]


def _results(out: Path) -> Iterator[dict[str, Any]]:
    if out.exists():
        yield from map(json.loads, out.read_text().splitlines())


def _key(result: dict[str, Any]) -> Task:
    return result["variant"], result["fold"], result["seed"], result["epochs"]


if __name__ == "__main__":
    main()
