"""Facts of a training run: the numbers it reports, and the metadata of its checkpoint."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from typing import Any

import numpy as np

from classifier.inference.pooling import Scores
from storage.values.decision import NONE
from storage.values.distribution import installed_version
from storage.values.text import printable
from trainer.data.dataset import Dataset
from trainer.evaluation.assessment import NO_SELECTION, Assessment, FoldQuality
from trainer.evaluation.calibration import Temperature
from trainer.evaluation.probes import Probe
from trainer.evaluation.recording_answers import NOT_TOLD, Marks
from trainer.training.loop import EpochFacts
from trainer.training.prepare import PreparedData

FEW_RECORDINGS = 20  # a fine-tuned network keeps its temperature with fewer
MAX_LEFT_OUT = 100  # a checkpoint is no log
LIBRARIES = ("torch", "numpy", "librosa", "soundfile", "av", "soxr")


def metrics(
    data: PreparedData,
    history: Sequence[EpochFacts],
    assessment: Assessment | None,
    folds: Mapping[int, FoldQuality],
    probes: Sequence[Probe],
    temperature: Temperature,
) -> dict[str, Any]:
    """The numbers of `clfd train --json`; what was not measured is None.

    `assessment` is of the validation recordings or, with folds, of all of them together.
    std_accuracy is over these folds (numpy's `std`), not an estimate of other folds.
    """
    dataset, split = data.dataset, data.split
    accuracies = [each.accuracy for each in folds.values()]
    averages = [each.macro_ap for each in folds.values() if each.macro_ap is not None]
    validation = None if accuracies or assessment is None else assessment.evaluation
    is_multi = dataset.task == "multi"
    return {
        "task": dataset.task,
        "labels": list(dataset.labels),
        "epochs": len(history),
        "train_files": _count_files(dataset, split.train),
        "val_files": _count_files(dataset, split.validation),
        "train_examples": len(split.train),
        "val_examples": len(split.validation),
        "val_accuracy": validation and validation.accuracy,
        "val_macro_f1": validation and validation.macro_f1,
        "val_macro_ap": validation and validation.macro_ap,
        "val_macro_auc": validation and validation.macro_auc,
        "val_loss": validation and validation.loss,
        "ece": assessment and assessment.evaluation.ece,
        "ece_before": assessment and assessment.uncalibrated.ece,
        "temperature": None if is_multi else temperature,
        "temperatures": list(map(float, np.atleast_1d(temperature))) if is_multi else None,
        "selection": selection(data, assessment),
        "remarks": list(data.remarks),
        "gflop_per_clip": round(data.gflop_per_clip(), 4),
        "probes": [asdict(each) for each in probes],
        "per_label": [asdict(each) for each in assessment.evaluation.per_label]
        if assessment
        else None,
        "history": [asdict(facts) for facts in history],
        "folds": [
            {"fold": fold, "val_accuracy": each.accuracy, "val_macro_ap": each.macro_ap}
            for fold, each in folds.items()
        ],
        "mean_accuracy": statistics.fmean(accuracies) if accuracies else None,
        "std_accuracy": statistics.pstdev(accuracies) if accuracies else None,
        "mean_macro_ap": statistics.fmean(averages) if averages else None,
    }


def selection(data: PreparedData, assessment: Assessment | None) -> dict[str, str]:
    """What was chosen on the recordings of each number, and what the parent was trained on."""
    chosen = dict(assessment.selection if assessment else NO_SELECTION)
    if data.parent is None:
        return chosen
    if inherits_temperature(data, assessment):
        few = f"fewer than {FEW_RECORDINGS} recordings can be judged by"
        chosen["temperature"] = f"the parent's, since {few}"
    chosen["parent"] = "what it or an ancestor was trained on is not measured on"
    if not data.ancestors_known:
        chosen["parent"] = "does not say all that it was trained on; all of this may flatter"
    return chosen


def served_temperature(data: PreparedData, assessment: Assessment | None) -> Temperature:
    """The fitted temperature; the parent's where it was fitted on few recordings."""
    about = data.parent and data.parent.description
    is_multi = data.dataset.task == "multi"
    if about and inherits_temperature(data, assessment):
        of_label = dict(zip(about.labels, about.temperatures, strict=False))
        inherited = np.array([of_label.get(label, 1.0) for label in data.dataset.labels])
        return inherited if is_multi else about.temperature
    if assessment is not None:
        return assessment.temperature
    return np.ones(len(data.dataset.labels)) if is_multi else 1.0


def inherits_temperature(data: PreparedData, assessment: Assessment | None) -> bool:
    n_assessed = len(assessment.predictions.positions) if assessment else 0
    if data.parent is None or data.parent.description.task != data.dataset.task:
        return False
    return n_assessed < FEW_RECORDINGS


def training_facts(data: PreparedData, seed: int, now: datetime) -> dict[str, Any]:
    """The origin of a checkpoint: labels, recordings, split, recipe, parent and versions."""
    dataset, split, parent = data.dataset, data.split, data.parent
    return {
        "created_at": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "labels_file": printable(data.labels.source.name),
        "labels_digest": data.labels.digest,
        "recording_digests": sorted(trained_digests(data, with_own=True)),
        "ancestors_known": data.ancestors_known,
        # The temperature was fitted on these: measured on them again, it flatters.
        "validation_digests": sorted({dataset.digests[at] for at in split.validation}),
        "skipped": len(data.left_out),
        "left_out": [printable(line) for line in data.left_out[:MAX_LEFT_OUT]],
        "split": split.description,
        "seed": seed,
        "recipe": asdict(data.recipe),
        "parent": parent and {"name": parent.name, "digest": parent.digest},
        "versions": {"python": platform.python_version()}
        | {"clfd": installed_version()}
        | {lib: version(lib) for lib in LIBRARIES},
    }


def answer_profile(
    told_scores: Scores, labels: Sequence[str], found: Marks | None = None
) -> dict[str, Any]:
    """Of what is told (R, L): how often each label was answered, and how confidently.

    `clfd report` measures drift against it. In a multi task the answer is the most probable of the
    labels that were `found` (R, L), or none.
    """
    answer, confidence = told_scores.argmax(axis=1), told_scores.max(axis=1)
    if found is not None:
        surest = np.where(found, told_scores, NOT_TOLD).argmax(axis=1)
        answer = np.where(found.any(axis=1), surest, len(labels))
        labels = [*labels, NONE]
    profile = {}
    for at, label in enumerate(labels):
        of_label = confidence[answer == at]
        profile[label] = {
            "share": round(float(np.mean(answer == at)), 6),
            "mean_confidence": round(float(of_label.mean()), 6) if len(of_label) else None,
        }
    return {"recordings": len(told_scores), "labels": profile}


def trained_digests(data: PreparedData, with_own: bool) -> frozenset[str]:
    """Digests of the files that the parent and its ancestors were trained on, and of this run.

    Those of a parent that does not say what it was trained on are missing.
    """
    parent = data.parent
    inherited = parent.description.training.get("recording_digests") if parent else None
    inherited = inherited if isinstance(inherited, list) else []
    own = [data.dataset.digests[at] for at in data.split.train] if with_own else []
    return frozenset([*map(str, inherited), *own])


def run_facts(data: PreparedData, seed: int, team_size: int) -> dict[str, Any]:
    """Everything that decides the result of a run: the same facts give the same network."""
    dataset = data.dataset
    return {
        "sounds": dataset.digests,
        "task": dataset.task,
        "examples": [(e.label, e.start_seconds, str(e.end_seconds)) for e in dataset.examples],
        "splits": [
            (fold, split.train, split.validation)
            for fold, split in (*data.folds.items(), (None, data.split))
        ],
        "recipe": asdict(data.recipe),
        "parent": data.parent and data.parent.digest,
        "seed": seed,
        "team_size": team_size,
        "device": dataset.device.type,
        "versions": [installed_version(), version("torch")],
    }


def _count_files(dataset: Dataset, positions: Sequence[int]) -> int:
    return len({dataset.examples[at].path for at in positions})
