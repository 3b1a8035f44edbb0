"""What a training run says of itself: the numbers it reports, and what its checkpoint remembers."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import version
from typing import Any

from classifier.predictor import Scores
from storage.outcomes import printable
from trainer.dataset import Dataset
from trainer.evaluation import Evaluation, Truth, accuracy
from trainer.labels import LabelSet
from trainer.recipes import Recipe
from trainer.splits import Split
from trainer.training import EpochFacts

LIBRARIES = ("clfd", "torch", "numpy", "librosa", "soundfile", "soxr")


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
    dataset: Dataset,
    split: Split,
    history: Sequence[EpochFacts],
    evaluation: Evaluation | None,
    results: Sequence[FoldResult],
) -> dict[str, Any]:
    """The numbers of `clfd train --json`; what was not measured is None.

    std_accuracy is over these folds (numpy's `std`), not an estimate of other folds.
    """
    accuracies = [result.val_accuracy for result in results]
    return {
        "labels": list(dataset.labels),
        "epochs": len(history),
        "train_files": _count_files(dataset, split.train),
        "val_files": _count_files(dataset, split.validation),
        "val_accuracy": evaluation and evaluation.accuracy,
        "val_macro_f1": evaluation and evaluation.macro_f1,
        "val_loss": evaluation and evaluation.loss,
        "ece": evaluation and evaluation.ece,
        "history": [asdict(facts) for facts in history],
        "folds": [{"fold": each.fold, "val_accuracy": each.val_accuracy} for each in results],
        "mean_accuracy": statistics.fmean(accuracies) if accuracies else None,
        "std_accuracy": statistics.pstdev(accuracies) if accuracies else None,
    }


def training_facts(
    labels: LabelSet, dataset: Dataset, split: Split, seed: int, recipe: Recipe, now: datetime
) -> Mapping[str, Any]:
    """From what, and with what, a checkpoint was made."""
    return {
        "created_at": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "labels_file": printable(labels.source.name),
        "labels_digest": labels.digest,
        "recording_digests": sorted({dataset.digests[at] for at in split.train}),
        "skipped": len(labels.skipped) + len(dataset.problems),
        "split": split.description,
        "seed": seed,
        "recipe": asdict(recipe),
        "parent": None,
        "versions": {"python": platform.python_version()}
        | {lib: version(lib) for lib in LIBRARIES},
    }


def _count_files(dataset: Dataset, positions: Sequence[int]) -> int:
    return len({dataset.examples[at].path for at in positions})
