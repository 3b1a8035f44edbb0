"""What a training run says of itself: the numbers it reports, and what its checkpoint remembers."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

from classifier.inference.predictor import Scores
from storage.values.distribution import installed_version
from storage.values.text import printable
from trainer.data.dataset import Dataset
from trainer.evaluation.assessment import NO_SELECTION, Assessment
from trainer.evaluation.metrics import Truth, accuracy
from trainer.evaluation.probes import Probe
from trainer.training.loop import EpochFacts
from trainer.training.prepare import PreparedData

FEW_RECORDINGS = 20  # a network that goes on is not judged anew by fewer
MAX_LEFT_OUT = 100  # a checkpoint is no log
LIBRARIES = ("torch", "numpy", "librosa", "soundfile", "soxr")


@dataclass(frozen=True)
class FoldResult:
    """Scores (R, L) and truth (R,) of the recordings that one fold kept for validation."""

    fold: int
    scores: Scores
    truth: Truth

    @property
    def val_accuracy(self) -> float:
        return accuracy(self.scores, self.truth)


def metrics(
    lessons: PreparedData,
    history: Sequence[EpochFacts],
    judgement: Assessment | None,
    results: Sequence[FoldResult],
    probes: Sequence[Probe],
    temperature: float,
) -> dict[str, Any]:
    """The numbers of `clfd train --json`; what was not measured is None.

    `judgement` is of the validation recordings or, with folds, of all of them together.
    std_accuracy is over these folds (numpy's `std`), not an estimate of other folds.
    """
    dataset, split = lessons.dataset, lessons.split
    accuracies = [result.val_accuracy for result in results]
    validation = None if results or judgement is None else judgement.evaluation
    return {
        "labels": list(dataset.labels),
        "epochs": len(history),
        "train_files": _count_files(dataset, split.train),
        "val_files": _count_files(dataset, split.validation),
        "val_accuracy": validation and validation.accuracy,
        "val_macro_f1": validation and validation.macro_f1,
        "val_loss": validation and validation.loss,
        "ece": judgement and judgement.evaluation.ece,
        "ece_before": judgement and judgement.uncalibrated.ece,
        "temperature": temperature,
        "selection": selection(lessons, judgement),
        "gflop_per_clip": round(lessons.gflop_per_clip(), 4),
        "probes": [asdict(each) for each in probes],
        "history": [asdict(facts) for facts in history],
        "folds": [{"fold": each.fold, "val_accuracy": each.val_accuracy} for each in results],
        "mean_accuracy": statistics.fmean(accuracies) if accuracies else None,
        "std_accuracy": statistics.pstdev(accuracies) if accuracies else None,
    }


def selection(lessons: PreparedData, judgement: Assessment | None) -> dict[str, str]:
    """What was chosen on the recordings of each number, and what the parent had met."""
    chosen = dict(judgement.selection if judgement else NO_SELECTION)
    if lessons.parent is None:
        return chosen
    if inherits_temperature(lessons, judgement):
        few = f"fewer than {FEW_RECORDINGS} recordings can be judged by"
        chosen["temperature"] = f"the parent's, since {few}"
    if not lessons.ancestors_known:
        return {
            **chosen,
            "parent": "does not say all that it was trained on; all of this may flatter",
        }
    return {**chosen, "parent": "what it or an ancestor was trained on is not measured on"}


def served_temperature(lessons: PreparedData, judgement: Assessment | None) -> float:
    """The one that was fitted; of few recordings the parent's says more."""
    if lessons.parent is not None and inherits_temperature(lessons, judgement):
        return lessons.parent.description.temperature
    return judgement.temperature if judgement else 1.0


def inherits_temperature(lessons: PreparedData, judgement: Assessment | None) -> bool:
    n_judged = len(judgement.statements.positions) if judgement else 0
    return lessons.parent is not None and n_judged < FEW_RECORDINGS


def training_facts(lessons: PreparedData, seed: int, now: datetime) -> dict[str, Any]:
    """From what, and with what, a checkpoint was made."""
    dataset, split, parent = lessons.dataset, lessons.split, lessons.parent
    return {
        "created_at": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "labels_file": printable(lessons.labels.source.name),
        "labels_digest": lessons.labels.digest,
        "recording_digests": sorted(heard_digests(lessons, with_own=True)),
        "ancestors_known": lessons.ancestors_known,
        # The temperature was fitted on these: measured on them again, it flatters.
        "validation_digests": sorted({dataset.digests[at] for at in split.validation}),
        "skipped": len(lessons.left_out),
        "left_out": [printable(line) for line in lessons.left_out[:MAX_LEFT_OUT]],
        "split": split.description,
        "seed": seed,
        "recipe": asdict(lessons.recipe),
        "parent": parent and {"name": parent.name, "digest": parent.digest},
        "versions": {"python": platform.python_version()}
        | {"clfd": installed_version()}
        | {lib: version(lib) for lib in LIBRARIES},
    }


def heard_digests(lessons: PreparedData, with_own: bool) -> frozenset[str]:
    """Digests of the files that the parent and its ancestors learned from, and of one's own.

    Those of a parent that does not say what it learned from are missing.
    """
    parent = lessons.parent
    inherited = parent.description.training.get("recording_digests") if parent else None
    inherited = inherited if isinstance(inherited, list) else []
    own = [lessons.dataset.digests[at] for at in lessons.split.train] if with_own else []
    return frozenset([*map(str, inherited), *own])


def run_facts(lessons: PreparedData, seed: int, team_size: int) -> dict[str, Any]:
    """What decides about the result of a run: the same facts, the same network."""
    dataset = lessons.dataset
    return {
        "sounds": dataset.digests,
        "examples": [(e.label, e.start_seconds, str(e.end_seconds)) for e in dataset.examples],
        "splits": [
            (fold, split.train, split.validation)
            for fold, split in (*lessons.rounds.items(), (None, lessons.split))
        ],
        "recipe": asdict(lessons.recipe),
        "parent": lessons.parent and lessons.parent.digest,
        "seed": seed,
        "team_size": team_size,
        "device": dataset.device.type,
        "versions": [installed_version(), version("torch")],
    }


def _count_files(dataset: Dataset, positions: Sequence[int]) -> int:
    return len({dataset.examples[at].path for at in positions})
