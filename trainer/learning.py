"""From a labels file to a published checkpoint: the whole way, on one screen."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from classifier.device import choose_device, describe_device
from classifier.pool import DecodePool
from classifier.predictor import Scores
from storage.home import Home
from storage.settings import Settings
from storage.shelf import Shelf
from trainer.dataset import Dataset, load_dataset
from trainer.errors import LabelsError, SplitError, TrainerError
from trainer.evaluation import Evaluation, Truth, evaluate, score_recordings
from trainer.facts import FoldResult, metrics, training_facts
from trainer.labels import Example, LabelSet, check_labels, read_labels
from trainer.progress import Narrator
from trainer.publishing import check_home, promote, publish
from trainer.recipes import Recipe
from trainer.reports import write_report
from trainer.splits import Split, SplitChoice, everything, folds, related_groups, split_examples
from trainer.training import EpochFacts, Trained, train_network


@dataclass(frozen=True)
class Request:
    """What a person asked for."""

    labels: Path
    recipe: Recipe
    split: SplitChoice = field(default_factory=SplitChoice)
    cross_validate: bool = False
    promote: str = "auto"
    skip_bad: bool = False


@dataclass(frozen=True)
class Lesson:
    """What came out of it: the object of `clfd train --json`, and the folder of the report."""

    outcome: dict[str, Any]
    report: Path


def learn(request: Request, home: Home, settings: Settings, narrator: Narrator) -> Lesson:
    """Decodes, trains, judges, publishes, promotes and reports, in this order.

    Raises TrainerError, ClassifierError or StorageError.
    """
    began, recipe = time.perf_counter(), request.recipe
    check_home(home)
    device = choose_device(settings.engine.device)
    recipe.mel_bank()  # an impossible recipe is refused before anything is decoded
    labels = read_labels(request.labels, settings.intake.suffixes, request.skip_bad)
    choose(request, labels.examples, [example.group for example in labels.examples])
    with memory_error_as_ours(device):
        dataset = decode(request, labels, settings, device, narrator)
        split, rounds = choose(request, dataset.examples, merged_groups(dataset))
        announce(recipe, dataset, split, narrator)
        results = [judge_fold(request, dataset, fold, rounds[fold], narrator) for fold in rounds]
        trained = train(request, dataset, split, narrator)
        scores, truth, evaluation = judge(recipe, dataset, split, trained)
    now = datetime.now(UTC)
    numbers = metrics(dataset, split, trained.history, evaluation, results)
    numbers["seconds"] = round(time.perf_counter() - began, 3)
    facts = {
        **training_facts(labels, dataset, split, request.split.seed, recipe, now),
        "device": describe_device(device),
        **numbers,
    }
    checkpoint = publish(home, trained.model, dataset.labels, recipe, facts, now, device)
    promotion = promote(Shelf(home.checkpoints), checkpoint, request.promote, scores, truth)
    outcome = {
        "checkpoint": checkpoint.name,
        "digest": checkpoint.digest,
        **numbers,
        "promoted": promotion.promoted,
        "promotion_reason": promotion.reason,
    }
    report = home.reports / checkpoint.name
    write_report(report, outcome, trained.history, *pictured(dataset, evaluation, results))
    return Lesson(outcome, report)


def choose(
    request: Request, examples: Sequence[Example], groups: Sequence[str]
) -> tuple[Split, dict[int, Split]]:
    """The split of the published network, and those of the folds by their number.

    Done before decoding as well, where an hour may pass until a wrong --fold would be noticed.
    """
    if request.cross_validate:
        return everything(len(examples)), folds(examples, groups, request.split.seed)
    split = split_examples(examples, groups, request.split)
    if not split.validation and request.split.val_fraction != 0:
        raise SplitError(
            f"{request.labels}: nothing to validate on; give a label two groups or more, "
            "or train without validation by --val-fraction 0"
        )
    return split, {}


def decode(
    request: Request, labels: LabelSet, settings: Settings, device: torch.device, narrator: Narrator
) -> Dataset:
    """Every example as clips on the device. Raises LabelsError naming what cannot be decoded."""
    engine, audio_format = settings.engine, request.recipe.audio_format
    with (
        DecodePool[int](engine.decode_workers, engine.decode_timeout_seconds) as pool,
        narrator.bar("decoding", len(labels.examples)) as advance,
    ):
        dataset = load_dataset(labels.examples, audio_format, pool, device, on_recording=advance)
    if dataset.problems and not request.skip_bad:
        raise LabelsError(labels.source, dataset.problems, of_rows=True)
    check_labels(labels.source, dataset.examples, (*labels.skipped, *dataset.problems))
    for problem in (*labels.skipped, *dataset.problems):
        narrator.say(f"left out: {problem}")
    return dataset


def merged_groups(dataset: Dataset) -> list[str]:
    """The group of each example; groups that hold the same sound are one."""
    contents = [
        (digest, example.start_seconds, example.end_seconds)
        for digest, example in zip(dataset.digests, dataset.examples, strict=True)
    ]
    return related_groups([example.group for example in dataset.examples], contents)


def announce(recipe: Recipe, dataset: Dataset, split: Split, narrator: Narrator) -> None:
    widths = "-".join(str(width) for width in recipe.widths)
    narrator.say(
        f"training on {len(split.train)} recordings, validating on {len(split.validation)} "
        f"({split.description}); {len(dataset.labels)} labels: {', '.join(dataset.labels)}"
    )
    narrator.say(
        f"recipe {recipe.name}: {recipe.epochs} epochs, {recipe.optimizer} at "
        f"{recipe.learning_rate:g}, batches of {recipe.batch_size}, widths {widths}, clips of "
        f"{recipe.clip_seconds:g} s at {recipe.sample_rate_hz} Hz, {recipe.n_mels} bands; "
        f"on {describe_device(dataset.device)}"
    )
    unjudged = set(dataset.labels) - {dataset.examples[at].label for at in split.validation}
    if split.validation and unjudged:
        narrator.say(f"nothing validates these labels: {', '.join(sorted(unjudged))}")


def train(request: Request, dataset: Dataset, split: Split, narrator: Narrator) -> Trained:
    recipe = request.recipe
    with narrator.bar("training", recipe.epochs) as advance:

        def on_epoch(facts: EpochFacts) -> None:
            narrator.epoch(facts, recipe.epochs)
            advance()

        return train_network(dataset, split, recipe, request.split.seed, on_epoch)


def judge_fold(
    request: Request, dataset: Dataset, fold: int, split: Split, narrator: Narrator
) -> FoldResult:
    narrator.say(
        f"fold {fold}: training on {len(split.train)}, validating on {len(split.validation)}"
    )
    scores, truth, _ = judge(
        request.recipe, dataset, split, train(request, dataset, split, narrator)
    )
    return FoldResult(fold, scores, truth)


def judge(
    recipe: Recipe, dataset: Dataset, split: Split, trained: Trained
) -> tuple[Scores, Truth, Evaluation | None]:
    """Scores (R, L) and truth (R,) of the validation recordings, and how good the answers are.

    Where nothing validates they are those of the training recordings, which prove nothing.
    """
    positions = split.validation or split.train
    scores = score_recordings(trained.model, dataset, positions, recipe.batch_size)
    truth = dataset.truth.cpu().numpy()[list(positions)]
    return scores, truth, evaluate(scores, truth, dataset.labels) if split.validation else None


def pictured(
    dataset: Dataset, evaluation: Evaluation | None, results: Sequence[FoldResult]
) -> tuple[Evaluation | None, str]:
    """What the report shows: with folds, each recording as it was judged while unheard."""
    if not results:
        return evaluation, "Validation recordings"
    scores = np.concatenate([result.scores for result in results])
    truth = np.concatenate([result.truth for result in results])
    return evaluate(scores, truth, dataset.labels), f"Cross-validation, {len(results)} folds"


@contextmanager
def memory_error_as_ours(device: torch.device) -> Iterator[None]:
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise TrainerError(
            f"{device} has too little memory for this; "
            "take a smaller --batch-size or --width, or fewer files"
        ) from error
