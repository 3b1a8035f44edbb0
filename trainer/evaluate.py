"""`clfd evaluate`: any checkpoint, judged on labelled files as it is served."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path
from typing import Any

import torch

from classifier.inference.device import choose_device, describe_device, refusing_when_memory_ends
from classifier.inference.predictor import Predictor
from classifier.model.checkpoint import SUFFIX, Checkpoint, read_checkpoint
from classifier.model.classifier import ClipClassifier
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.paths import Home
from storage.settings.schema import Settings
from storage.values.text import printable
from trainer.console import ProgressConsole
from trainer.data.dataset import Dataset
from trainer.data.overlaps import merged_groups
from trainer.errors import TrainerError
from trainer.evaluation.assessment import Assessment, judge_as_served, listen
from trainer.evaluation.prepare import EvaluationData, gather
from trainer.evaluation.probes import Probe, probe
from trainer.evaluation.top_errors import most_confident_mistakes
from trainer.evaluation.train_overlap import TrainOverlap, acquaintance
from trainer.reports.html import ReportData
from trainer.reports.training_report import check_folder, write_report

CLIPS_AT_ONCE = 16  # of a network whose size nobody here chose


@dataclass(frozen=True)
class EvaluateRequest:
    """What a person asked for; `output` is the folder of the report."""

    labels: Path
    checkpoint: str = "active"
    fold: int | None = None
    skip_bad: bool = False
    include_trained: bool = False
    output: Path | None = None


@dataclass(frozen=True)
class EvaluateOutcome:
    """What came out of it: the object of `clfd evaluate --json`, and the folder of the report."""

    outcome: dict[str, Any]
    report: Path


def evaluate_checkpoint(
    inquiry: EvaluateRequest, home: Home, settings: Settings, narrator: ProgressConsole
) -> EvaluateOutcome:
    """Decodes, scores, judges and reports. Raises TrainerError, ClassifierError or StorageError."""
    device = choose_device(settings.engine.device)
    no_memory = TrainerError(
        f"{device} has too little memory for this; take fewer files"
        + (", or --device cpu" if device.type != "cpu" else "")
    )
    with refusing_when_memory_ends(no_memory):
        return _evaluate(inquiry, home, settings, narrator, device)


def _evaluate(
    inquiry: EvaluateRequest,
    home: Home,
    settings: Settings,
    narrator: ProgressConsole,
    device: torch.device,
) -> EvaluateOutcome:
    began, now = time.perf_counter(), datetime.now(UTC)
    checkpoint = find_checkpoint(home, inquiry.checkpoint)
    report = inquiry.output or new_report(home, checkpoint, now)
    above = check_folder(report)
    model = ready_model(checkpoint, device)
    asked = inquiry.labels, inquiry.fold, inquiry.skip_bad
    material = gather(*asked, checkpoint, above, settings, device, narrator)
    dataset = material.dataset
    met = acquaintance(checkpoint, dataset, merged_groups(dataset.examples, dataset.digests))
    positions = to_be_judged(inquiry, checkpoint, dataset, met, narrator)
    judgement = judge_as_served(
        listen(model, checkpoint.labels, dataset, positions, CLIPS_AT_ONCE),
        checkpoint.labels,
        checkpoint.description.temperature,
        settings.engine.clip_pooling,
        met.selection(positions),
    )
    probes = probe(model, checkpoint.labels)
    outcome = {
        **numbers(checkpoint, dataset, judgement, probes),
        **circumstances(inquiry, material, met),
        "clip_pooling": settings.engine.clip_pooling,
        "device": describe_device(device),
        "seconds": round(time.perf_counter() - began, 3),
        "report": printable(str(report)),
    }
    findings = ReportData(
        title=checkpoint.name,
        judged_on=f"Evaluation on {outcome['labels_file']}",
        metrics=outcome,
        evaluation=judgement.evaluation,
        uncalibrated=judgement.uncalibrated,
        probes=probes,
        mistakes=most_confident_mistakes(dataset, judgement, model.logmel),
    )
    write_report(report, findings)
    return EvaluateOutcome(outcome, report)


def new_report(home: Home, checkpoint: Checkpoint, now: datetime) -> Path:
    """A folder that is not there yet: two evaluations may fall into one second."""
    first = home.reports / f"{checkpoint.name}-evaluation-{now:%Y%m%dT%H%M%SZ}"
    others = (first.with_name(f"{first.name}-{number}") for number in count(2))
    return next(folder for folder in chain([first], others) if not folder.exists())


def find_checkpoint(home: Home, reference: str) -> Checkpoint:
    """A checkpoint by its name on the shelf, or by the path of its file."""
    path = Path(reference)
    if path.suffix != SUFFIX or not path.is_file():
        shelf = CheckpointFolder(home.checkpoints)
        path = shelf.path(shelf.find(reference))
    return read_checkpoint(path)


def ready_model(checkpoint: Checkpoint, device: torch.device) -> ClipClassifier:
    """The network on the device. Raises CheckpointError where it would not be served there."""
    Predictor(checkpoint, device)
    model = checkpoint.build().to(device)
    model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def to_be_judged(
    inquiry: EvaluateRequest,
    checkpoint: Checkpoint,
    dataset: Dataset,
    met: TrainOverlap,
    narrator: ProgressConsole,
) -> list[int]:
    """Positions that count. Raises TrainerError where the checkpoint was trained on all of them."""
    everything = list(range(len(dataset.examples)))
    if met.trained is None:
        narrator.say(f"{checkpoint.name} does not say what it was trained on: this may flatter")
        return everything
    if met.trained:
        fate = "counted all the same" if inquiry.include_trained else "left out of the numbers"
        narrator.say(
            f"{checkpoint.name} was trained on {len(met.trained)} of {len(everything)} recordings, "
            f"or on relatives of them: {fate}"
        )
    if inquiry.include_trained:
        return everything
    if len(met.trained) == len(everything):
        raise TrainerError(
            f"{inquiry.labels}: {checkpoint.name} was trained on all of these recordings; "
            "name others, or count them with --include-trained"
        )
    return [at for at in everything if at not in met.trained]


def numbers(
    checkpoint: Checkpoint, dataset: Dataset, judgement: Assessment, probes: Sequence[Probe]
) -> dict[str, Any]:
    """How the checkpoint did on the recordings that were judged, and on nothing."""
    judged, positions = judgement.evaluation, judgement.statements.positions
    return {
        "checkpoint": checkpoint.name,
        "digest": checkpoint.digest,
        "labels": list(judged.labels),
        "files": len({dataset.examples[at].path for at in positions}),
        "recordings": judged.n_recordings,
        "accuracy": judged.accuracy,
        "macro_f1": judged.macro_f1,
        "loss": judged.loss,
        "ece": judged.ece,
        "ece_before": judgement.uncalibrated.ece,
        "temperature": judgement.temperature,
        "selection": dict(judgement.selection),
        "per_label": [asdict(each) for each in judged.per_label],
        "probes": [asdict(each) for each in probes],
    }


def circumstances(
    inquiry: EvaluateRequest, material: EvaluationData, met: TrainOverlap
) -> dict[str, Any]:
    """What was asked and found; `trained_recordings` are all in the file, judged or not."""
    return {
        "labels_file": printable(inquiry.labels.name),
        "labels_digest": material.labels.digest,
        "fold": inquiry.fold,
        "skipped": material.skipped,
        "trained_recordings": None if met.trained is None else len(met.trained),
        "trained_included": inquiry.include_trained,
    }


def summary(outcome: Mapping[str, Any]) -> list[str]:
    """What a person wants to know, a line each."""
    labels = outcome["per_label"]
    heard = sum(each["support"] > 0 for each in labels)
    before = outcome["ece_before"]
    return [
        f"checkpoint         {outcome['checkpoint']}",
        f"recordings         {outcome['recordings']}, of {heard} of {len(labels)} labels",
        f"accuracy           {outcome['accuracy']:.1%}",
        f"macro-F1           {outcome['macro_f1']:.3f}",
        f"calibration error  {outcome['ece']:.3f} (without temperature {before:.3f})",
    ]
