"""Several sounds at once, or none: mixtures of ESC-10's clips, each fold of its own clips only.

ESC10_DIR=... python -m benchmarks.mixtures FOLDER --folds 1,2,3,4,5

Four of five recordings are one to three clips of different labels, each at -6 to 6 dB; one of five
is none of them: noise made from numbers, or sounds of other kinds. A network is trained on four
folds and measured on the fifth, at thresholds that the other folds' networks chose for a precision
of 0.9: what `clfd train FOLDER/labels.csv --task multi --cross-validate --precision 0.9` does,
without the network that it publishes. A fold whose predictions lie in FOLDER is not trained again.
"""

from __future__ import annotations

import csv
import json
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import soundfile
import soxr
import torch

from classifier.workers.malloc import keep_freed_memory
from classifier.workers.pool import DecodePool
from storage.values.decision import NONE
from trainer.data.dataset import Dataset, load_dataset
from trainer.data.labels import TaskChoice, read_labels
from trainer.data.splits import cross_validation
from trainer.demo.synthesis import VOICES, synthesise
from trainer.evaluation.assessment import (
    Assessment,
    ClipPredictions,
    assess_folds,
    fold_quality,
    predict,
)
from trainer.evaluation.calibration import ClipLogits
from trainer.training.loop import EpochFacts, train_network
from trainer.training.recipe import DEFAULT

Samples = npt.NDArray[np.float64]

RATE_HZ, SECONDS = 22_050, 5.0
N_SAMPLES = round(RATE_HZ * SECONDS)
MOST_LABELS = 3
LEVELS_DB = (-6.0, 6.0)
SHARE_OF_NONE = 0.2
PRECISION = 0.9
RECIPE = replace(DEFAULT, clip_seconds=SECONDS, sample_rate_hz=RATE_HZ, fits_the_files=False)
STRANGE_VOICES = sorted(set(VOICES) - {"dog_bark"})  # ESC-10 has dogs of its own


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--folds", default="1,2,3,4,5", show_default=True, help="Trained now.")
@click.option("--per-fold", default=300, show_default=True, help="Recordings made of a fold.")
@click.option("--epochs", default=DEFAULT.epochs, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(folder: Path, folds: str, per_fold: int, epochs: int, seed: int) -> None:
    """Makes the recordings in FOLDER, trains and measures."""
    keep_freed_memory()
    labels_csv = folder / "labels.csv"
    if not labels_csv.exists():
        make_mixtures(Path(os.environ["ESC10_DIR"]), folder, per_fold, seed)
    dataset = read_dataset(labels_csv)
    groups = [example.group for example in dataset.examples]
    by_fold = {}
    for fold, split in cross_validation(dataset.examples, groups, seed).items():
        file = folder / f"fold-{fold}-{epochs}-epochs.npz"
        if not file.exists() and str(fold) in folds.split(","):
            recipe = replace(RECIPE, epochs=epochs)
            training = replace(split, validation=())
            trained = train_network(dataset, training, recipe, seed, _tell(fold))
            found = predict(trained.model, dataset.labels, dataset, split.validation, 32)
            np.savez(file, logits=found.clip_logits.logits, recording=found.clip_logits.recording)
        if file.exists():
            truth = dataset.truth.numpy()[list(split.validation)]
            stored = np.load(file)
            logits = ClipLogits(stored["logits"], stored["recording"], "multi")
            by_fold[fold] = ClipPredictions(split.validation, logits, truth)
    if len(by_fold) > 1:
        assessment = assess_folds(list(by_fold.values()), dataset.labels, PRECISION)
        click.echo(json.dumps(figures(assessment, by_fold), indent=2))


def figures(
    assessment: Assessment, by_fold: Mapping[int, ClipPredictions]
) -> dict[str, float | dict[int, float]]:
    """Macro average precision of each fold, and what the thresholds keep of their promise."""
    macro_ap, begin = {}, 0
    assert assessment.found is not None
    for fold, predictions in by_fold.items():
        part = slice(begin, begin + len(predictions.positions))
        found = assessment.found[part]
        quality = fold_quality(assessment.scores[part], predictions.truth, found)
        macro_ap[fold], begin = round(quality.macro_ap or 0.0, 4), part.stop
    truth, found = assessment.predictions.truth, assessment.found
    per_label = assessment.evaluation.per_label
    nothing = ~truth.any(axis=1)
    return {
        "macro_ap": macro_ap,
        "mean_macro_ap": round(float(np.mean(list(macro_ap.values()))), 4),
        "labels_with_threshold": len(assessment.thresholds),
        "precision_mean_of_labels": round(float(np.mean([e.precision for e in per_label])), 4),
        "precision_of_all_found": round(float(truth[found].mean()), 4),
        "recall_mean_of_labels": round(float(np.mean([e.recall for e in per_label])), 4),
        "none_told_as_none": round(float((~found[nothing].any(axis=1)).mean()), 4),
        "ece": round(assessment.evaluation.ece, 4),
        "ece_before": round(assessment.uncalibrated.ece, 4),
    }


def make_mixtures(esc10: Path, folder: Path, per_fold: int, seed: int) -> None:
    """The recordings, and `labels.csv`; the same seed gives the same ones."""
    clips: dict[int, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    with (esc10 / "labels.csv").open(encoding="utf-8") as table:
        for row in csv.DictReader(table):
            clips[int(row["fold"])][row["label"]].append(esc10 / row["path"])
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as table:
        writer = csv.writer(table)
        writer.writerow(["path", "label", "fold"])
        for fold in sorted(clips):
            rng = np.random.default_rng([seed, fold])
            for number in range(per_fold):
                labels, samples = _recording(clips[fold], rng)
                name = f"{fold}-{number:04d}.flac"
                peak = 10 ** (rng.uniform(-20, -1) / 20)
                soundfile.write(folder / name, samples * peak / np.abs(samples).max(), RATE_HZ)
                writer.writerow([name, ";".join(labels) or NONE, fold])


def read_dataset(labels_csv: Path) -> Dataset:
    labels = read_labels(labels_csv, (), task=TaskChoice("multi", (NONE,)))
    with DecodePool[int](1, 60.0) as pool:
        return load_dataset(labels.examples, RECIPE.audio_format, pool, torch.device("cpu"))


def _recording(
    clips: Mapping[str, Sequence[Path]], rng: np.random.Generator
) -> tuple[list[str], Samples]:
    if rng.random() < SHARE_OF_NONE:
        return [], _nothing(rng)
    labels = sorted(rng.choice(sorted(clips), rng.integers(1, MOST_LABELS + 1), replace=False))
    mixed = np.zeros(N_SAMPLES)
    for label in labels:
        clip = _read(clips[label][rng.integers(len(clips[label]))])
        mixed += 10 ** (rng.uniform(*LEVELS_DB) / 20) * _at_unit_power(clip)
    return list(map(str, labels)), mixed


def _read(path: Path) -> Samples:
    samples, rate_hz = soundfile.read(path)
    resampled = soxr.resample(samples, rate_hz, RATE_HZ)[:N_SAMPLES]
    return np.pad(resampled, (0, N_SAMPLES - len(resampled)))


def _at_unit_power(samples: Samples) -> Samples:
    """By the power of what sounds: a bark in silence is as loud as rain."""
    power = np.square(samples)
    return samples / np.sqrt(power[power > 1e-3 * power.max()].mean())  # type: ignore[no-any-return]


def _nothing(rng: np.random.Generator) -> Samples:
    kinds: Sequence[Callable[[np.random.Generator], Samples]] = (_noise, _hum, _sweeps, _voice)
    return kinds[rng.integers(len(kinds))](rng)


def _noise(rng: np.random.Generator) -> Samples:
    """From white to brown, now and then of one band, now and then swelling."""
    spectrum = np.fft.rfft(rng.standard_normal(N_SAMPLES))
    hz = np.fft.rfftfreq(N_SAMPLES, 1 / RATE_HZ)
    spectrum *= np.maximum(hz, 20.0) ** -rng.uniform(0, 1.2)
    if rng.random() < 0.3:
        low = rng.uniform(50, 4000)
        spectrum *= (hz > low) & (hz < low * rng.uniform(1.5, 4))
    swell = 1 + rng.uniform(0, 0.9) * np.sin(2 * np.pi * rng.uniform(0.05, 0.5) * _time_s())
    return np.fft.irfft(spectrum, N_SAMPLES) * swell


def _hum(rng: np.random.Generator) -> Samples:
    hz, decay = rng.choice([50.0, 60.0, 100.0, 120.0]), rng.uniform(0.5, 2)
    partials = [
        np.sin(2 * np.pi * n * hz * _time_s() + rng.uniform(0, 2 * np.pi)) / n**decay
        for n in range(1, 12)
    ]
    return np.sum(partials, axis=0) + 0.05 * rng.standard_normal(N_SAMPLES)


def _sweeps(rng: np.random.Generator) -> Samples:
    """Whistles that rise and fall, over a faint noise."""
    mixed = 0.02 * rng.standard_normal(N_SAMPLES)
    for _ in range(rng.integers(1, 8)):
        length = int(rng.uniform(0.1, 1.2) * RATE_HZ)
        begin = rng.integers(N_SAMPLES - length)
        hz = np.geomspace(*rng.uniform(300, 7000, 2), length)
        whistle = np.sin(2 * np.pi * np.cumsum(hz) / RATE_HZ) * np.hanning(length)
        mixed[begin : begin + length] += rng.uniform(0.3, 1) * whistle
    return mixed


def _voice(rng: np.random.Generator) -> Samples:
    """Horns, sirens, drills, engines and music, as the demo makes them."""
    label = STRANGE_VOICES[rng.integers(len(STRANGE_VOICES))]
    return synthesise(label, rng, RATE_HZ, SECONDS)[:N_SAMPLES].astype(np.float64)


def _time_s() -> Samples:
    return np.arange(N_SAMPLES) / RATE_HZ


def _tell(fold: int) -> Callable[[EpochFacts], None]:
    return lambda facts: click.echo(f"fold {fold}: {facts.line(0)}", err=True)


if __name__ == "__main__":
    main()
