"""`clfd evaluate`: read labels, decode, check, predict, assess, report.

The checkpoint is evaluated as it is served and its answers are told: by its temperature and
thresholds, by `engine.clip_pooling`, `engine.long_clips` and `results.thresholds`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import torch

from classifier.inference.device import choose_device, describe_device, refusing_when_memory_ends
from classifier.model.checkpoint import Checkpoint, read_checkpoint
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.paths import Home, unused_path
from storage.settings.schema import Settings
from storage.values.text import printable
from trainer.console import ProgressConsole
from trainer.data.dataset import Dataset
from trainer.data.overlaps import merged_groups
from trainer.errors import TrainerError
from trainer.evaluation.assessment import Assessment, assess_as_served, predict
from trainer.evaluation.label_curves import label_curves
from trainer.evaluation.metrics import served_model, temperature_of
from trainer.evaluation.prepare import EvaluateRequest, prepare_evaluation
from trainer.evaluation.probes import Probe, probe
from trainer.evaluation.recording_answers import Serving
from trainer.evaluation.top_errors import find_top_errors
from trainer.evaluation.train_overlap import TrainOverlap, find_train_overlap
from trainer.reports.html import ReportData
from trainer.reports.training_report import check_folder, write_report

BATCH_SIZE = 16  # clips; the network may be of any size


def evaluate_checkpoint(
    request: EvaluateRequest, home: Home, settings: Settings, console: ProgressConsole
) -> dict[str, Any]:
    """Evaluates a checkpoint on labelled files, and writes the report.

    Returns the object of `clfd evaluate --json`.

    Raises TrainerError, ClassifierError or StorageError.
    """
    device = choose_device(settings.engine.device)
    no_memory = TrainerError(
        f"{device} has too little memory for this; take fewer files"
        + (", or --device cpu" if device.type != "cpu" else "")
    )
    with refusing_when_memory_ends(no_memory):
        return _evaluate(request, home, settings, console, device)


def _evaluate(
    request: EvaluateRequest,
    home: Home,
    settings: Settings,
    console: ProgressConsole,
    device: torch.device,
) -> dict[str, Any]:
    began, now = time.perf_counter(), datetime.now(UTC)
    checkpoint = read_checkpoint(CheckpointFolder(home.checkpoints).locate(request.checkpoint))
    report = request.output or unused_path(
        home.reports / f"{checkpoint.name}-evaluation-{now:%Y%m%dT%H%M%SZ}"
    )
    parent_folder = check_folder(report)
    model = served_model(checkpoint, device)
    labels, dataset, n_skipped = prepare_evaluation(
        request, checkpoint, parent_folder, settings, device, console
    )
    engine, groups = settings.engine, merged_groups(dataset.examples, dataset.digests)
    overlap = find_train_overlap(checkpoint, dataset, groups)
    positions = choose_positions(request, checkpoint, dataset, overlap, console)
    assessment = assess_as_served(
        predict(model, checkpoint.labels, dataset, positions, BATCH_SIZE),
        checkpoint.labels,
        temperature_of(model),
        Serving(engine.clip_pooling, engine.long_clips, settings.results.display_rules),
        overlap.selection(positions),
        checkpoint.description.thresholds,
    )
    probes = probe(model, checkpoint.labels)
    outcome = {
        **numbers(checkpoint, dataset, assessment, probes),
        "labels_file": printable(request.labels.name),
        "labels_digest": labels.digest,
        "fold": request.fold,
        "skipped": n_skipped,
        # All of them in the labels file, whether they count or not.
        "trained_recordings": None if overlap.trained is None else len(overlap.trained),
        "trained_included": request.include_trained,
        "clip_pooling": engine.clip_pooling,
        "device": describe_device(device),
        "seconds": round(time.perf_counter() - began, 3),
        "report": printable(str(report)),
    }
    report_data = ReportData(
        title=checkpoint.name,
        assessed_on=f"Evaluation on {outcome['labels_file']}",
        metrics=outcome,
        unit=dataset.unit,
        evaluation=assessment.evaluation,
        curves=label_curves(assessment, checkpoint.labels),
        uncalibrated=assessment.uncalibrated,
        probes=probes,
        top_errors=find_top_errors(dataset, assessment, model.logmel),
    )
    write_report(report, report_data)
    return outcome


def choose_positions(
    request: EvaluateRequest,
    checkpoint: Checkpoint,
    dataset: Dataset,
    overlap: TrainOverlap,
    console: ProgressConsole,
) -> list[int]:
    """Positions that count. Raises TrainerError where the checkpoint was trained on all of them."""
    everything = list(range(len(dataset.examples)))
    if overlap.trained is None:
        console.print_line(
            f"{checkpoint.name} does not say what it was trained on: this may flatter"
        )
        return everything
    if overlap.trained:
        treated = "counted all the same" if request.include_trained else "left out of the numbers"
        console.print_line(
            f"{checkpoint.name} was trained on {len(overlap.trained)} of {len(everything)} "
            f"recordings, or on relatives of them: {treated}"
        )
    if request.include_trained:
        return everything
    if len(overlap.trained) == len(everything):
        raise TrainerError(
            f"{request.labels}: {checkpoint.name} was trained on all of these recordings; "
            "name others, or count them with --include-trained"
        )
    return [at for at in everything if at not in overlap.trained]


def numbers(
    checkpoint: Checkpoint, dataset: Dataset, assessment: Assessment, probes: Sequence[Probe]
) -> dict[str, Any]:
    """What was measured on the recordings that count, and on the probes."""
    evaluation, positions = assessment.evaluation, assessment.predictions.positions
    return {
        "checkpoint": checkpoint.name,
        "digest": checkpoint.digest,
        "task": evaluation.task,
        "labels": list(evaluation.labels),
        "files": len({dataset.examples[at].path for at in positions}),
        "recordings": evaluation.n_recordings,
        "accuracy": evaluation.accuracy,
        "macro_f1": evaluation.macro_f1,
        "val_macro_ap": evaluation.macro_ap,
        "val_macro_auc": evaluation.macro_auc,
        "loss": evaluation.loss,
        "ece": evaluation.ece,
        "ece_before": assessment.uncalibrated.ece,
        "temperature": checkpoint.description.temperature if evaluation.task == "single" else None,
        "selection": dict(assessment.selection),
        "per_label": [asdict(each) for each in evaluation.per_label],
        "probes": [asdict(each) for each in probes],
    }


def _figures(outcome: Mapping[str, Any]) -> list[str]:
    lines = [
        f"accuracy           {outcome['accuracy']:.1%}",
        f"macro-F1           {outcome['macro_f1']:.3f}",
    ]
    if outcome["task"] == "single":
        return lines
    macro_ap = outcome["val_macro_ap"]
    average = "not measured" if macro_ap is None else f"{macro_ap:.3f}"
    return [
        f"macro AP           {average}",
        f"all labels right   {outcome['accuracy']:.1%}",
        lines[1],
    ]


def summary(outcome: Mapping[str, Any]) -> list[str]:
    """What a person wants to know, a line each."""
    labels = outcome["per_label"]
    n_present = sum(each["support"] > 0 for each in labels)
    before = outcome["ece_before"]
    return [
        f"checkpoint         {outcome['checkpoint']}",
        f"recordings         {outcome['recordings']}, of {n_present} of {len(labels)} labels",
        *_figures(outcome),
        f"calibration error  {outcome['ece']:.3f} (without temperature {before:.3f})",
    ]
