"""`clfd train`: read labels, decode, check, split, train, assess, decide, publish."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from classifier.inference.device import choose_device, describe_device, refusing_when_memory_ends
from classifier.model.checkpoint import Threshold
from classifier.workers.malloc import keep_freed_memory
from classifier.workers.process import without_main_module
from storage.errors import StorageError
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.daemon_lock import holder
from storage.home.paths import Home, resolve_home
from storage.ledger.checkpoints import refused_checkpoints
from storage.settings.loading import load_settings
from storage.settings.schema import Settings, TrainingSettings
from storage.trainings.training_progress import EpochProgress, TrainingOutcome
from storage.values.text import listed
from trainer.checkpoints.remove import prune_after_training
from trainer.console import ProgressConsole, open_progress
from trainer.data.splits import Split
from trainer.distributed.lost_processes import explaining_losses
from trainer.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from trainer.errors import TrainerError
from trainer.evaluation.assessment import (
    Assessment,
    ClipPredictions,
    FoldQuality,
    assess_folds,
    assess_validation,
    fold_quality,
    predict,
)
from trainer.evaluation.label_curves import label_curves
from trainer.evaluation.probes import probe
from trainer.evaluation.top_errors import find_top_errors
from trainer.promotion.decide import decide_promotion
from trainer.promotion.publish import check_home, publish
from trainer.promotion.training_facts import (
    answer_profile,
    metrics,
    run_facts,
    served_temperature,
    training_facts,
)
from trainer.reports.html import ReportData
from trainer.reports.training_report import write_report
from trainer.training.feature_centres import Distances, fit_novelty, held_out_distances
from trainer.training.loop import EpochFacts, Trained, train_network
from trainer.training.prepare import PreparedData, RunContext, TrainRequest, prepare
from trainer.training.request import train_request
from trainer.training.resume import RunState, open_run_state


@dataclass(frozen=True)
class TrainOutcome:
    """The object of `clfd train --json`, and the folder of the report; None if it failed."""

    outcome: dict[str, Any]
    report: Path | None


def train_labels(
    labels: str | Path,
    home: str | Path | None = None,
    *,
    device: str | None = None,
    progress: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """`clfd.train`: learns from labelled files and publishes a checkpoint, as `clfd train` does.

    Args:
        labels: a table of labels, or a folder with one sub-folder per label.
        home: as `--home`, made where it is missing; None is CLFD_HOME, or the user's data folder.
        device: auto, cpu, cuda, cuda:N or mps; None is `engine.device`.
        progress: print what the command prints.
        options: those of the command: `recipe`, `epochs`, `learning_rate`, `batch_size` (clips),
            `optimizer`, `vary`, `clip_seconds`, `sample_rate_hz`, `n_mels`, `width`,
            `val_fraction`, `fold`, `cross_validate`, `promote`, `seed`, `skip_bad`, `start` (which
            the command calls `--from`), `resume`, `allow_label_change`.

    Returns:
        The object of `clfd train --json`: `checkpoint` (its name), `labels` in the order of the
        scores, `val_accuracy` and other shares from 0 to 1, `seconds`, `promoted`.

    The process keeps a lower priority (`training.nice`).

    Raises OptionError, LabelsError (its `problems` are all of them) or another TrainerError,
    ClassifierError, or StorageError, each with one line.
    """
    folder = resolve_home(None if home is None else Path(home))
    settings = load_settings(folder, {} if device is None else {"engine.device": device})
    console = ProgressConsole(0 if progress else -1)
    request = train_request(Path(labels), **options)
    with without_main_module():
        trained = train_checkpoint(request, folder, settings, console)
    assert trained is not None  # this process is its own group
    return trained.outcome


def train_checkpoint(
    request: TrainRequest,
    home: Home,
    settings: Settings,
    console: ProgressConsole,
    process_group: ProcessGroup = SINGLE_PROCESS,
    folder: Path | None = None,
) -> TrainOutcome | None:
    """Trains a network as requested and publishes it as a checkpoint.

    How far it is stands in a TrainingFolder, which may be made before. Returns None in all
    processes of a group but the main one. Raises TrainerError, ClassifierError or StorageError.
    """
    began = time.perf_counter()
    is_main = process_group.is_main_process

    def start() -> torch.device:
        if is_main:
            check_home(home)
        lower_priority(home, settings.training)
        return process_group.device(choose_device(settings.engine.device))

    keep_freed_memory()
    device = process_group.in_each(start)
    no_memory = TrainerError(
        f"{device} has too little memory for this; "
        "take a smaller --batch-size, fewer files, or a smaller network"
    )
    opened = open_progress(home, folder, request.labels, console.print_line)
    with (
        opened if is_main else nullcontext() as progress,
        explaining_losses(process_group),
        refusing_when_memory_ends(no_memory),
    ):
        context = RunContext(request, home, settings, device, console, process_group, progress)
        data = prepare(context)
        announce(data, console)
        with open_run(context, data) as run_state:
            trained, by_fold, distances = train_all(context, data, run_state)
            if not is_main:
                return None
            report_data = assess_and_publish(context, data, trained, by_fold, distances, began)
        return finish(context, report_data)


def lower_priority(home: Home, settings: TrainingSettings) -> None:
    """Lowers this process's priority, and takes fewer threads while a daemon serves this home.

    Workers that decode inherit the priority. It is never raised again: the system forbids that.
    """
    priority = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, max(priority, settings.nice))
    threads = settings.threads
    if not threads and holder(home):
        threads = max(1, torch.get_num_threads() // 2)
    if threads:
        torch.set_num_threads(threads)


def announce(data: PreparedData, console: ProgressConsole) -> None:
    recipe, dataset, split = data.recipe, data.dataset, data.split
    widths = "-".join(str(width) for width in recipe.widths)
    n_empty = sum(not example.labels for example in dataset.examples)
    nothing = f", and {n_empty} {dataset.unit} of none" if dataset.task == "multi" else ""
    console.print_line(
        f"training on {len(split.train)} {dataset.unit}, validating on {len(split.validation)} "
        f"({split.description}); {len(dataset.labels)} labels: {listed(dataset.labels)}{nothing}"
    )
    console.print_line(
        f"recipe {recipe.name}: {recipe.epochs} epochs, {recipe.optimizer} at "
        f"{recipe.learning_rate:g}, batches of {recipe.batch_size}, widths {widths}, clips of "
        f"{recipe.clip_seconds:g} s at {recipe.sample_rate_hz} Hz, {recipe.n_mels} bands; "
        f"on {describe_device(dataset.device)}"
    )
    with_examples = {label for example in dataset.examples for label in example.labels}
    if untrained := sorted(set(dataset.labels) - with_examples):
        console.print_line(
            f"note: {listed(untrained)}: known from {data.parent and data.parent.name}, but "
            "without an example here, and so unlearned bit by bit; add some"
        )
    validated = {label for at in split.validation for label in dataset.examples[at].labels}
    not_validated = with_examples - validated
    if split.validation and not_validated:
        console.print_line(f"note: nothing validates these labels: {listed(sorted(not_validated))}")


@contextmanager
def open_run(context: RunContext, data: PreparedData) -> Iterator[RunState]:
    """The saved state of this very run; where it is stopped, a line says how it is resumed."""
    print_line = context.console.print_line
    resume = context.request.resume or context.process_group.is_restart
    facts = run_facts(data, context.request.split.seed, context.process_group.size)
    with open_run_state(
        context.home.runs, facts, resume, print_line, context.process_group
    ) as run_state:
        if resume and not run_state.has_begun():
            print_line("nothing to resume for these labels and options: a new run")
        try:
            yield run_state
        except (KeyboardInterrupt, StorageError):
            if run_state.has_begun():
                print_line(
                    "stopped; the same command with --resume goes on from the last epoch it saved"
                )
            raise


def train_all(
    context: RunContext, data: PreparedData, run_state: RunState
) -> tuple[Trained, dict[int, ClipPredictions], list[Distances]]:
    """The network to publish, and what each fold's network makes of its own fold.

    That is its predictions, and how far its clips lie from those that were learned from.
    """
    by_fold, distances = {}, []
    for fold, split in data.folds.items():
        context.console.print_line(
            f"fold {fold}: training on {len(split.train)}, validating on {len(split.validation)}"
        )
        trained = train(context, data, split, run_state, f"fold-{fold}")
        by_fold[fold] = predict_validation(data, trained, split, context.process_group)
        distances.append(
            held_out_distances(trained.model, data.dataset, split, context.process_group)
        )
    published = train(context, data, data.split, run_state, "published")
    return published, by_fold, distances


def train(
    context: RunContext, data: PreparedData, split: Split, run_state: RunState, stage: str
) -> Trained:
    recipe, console, progress = data.recipe, context.console, context.progress
    if progress:
        progress.update(stage=stage, epochs=recipe.epochs, curve=[])
    with console.bar("training", recipe.epochs) as advance:

        def on_epoch(facts: EpochFacts) -> None:
            console.print_line(facts.line(recipe.epochs))
            advance()
            if progress:
                progress.add_epoch(EpochProgress(**asdict(facts)))

        return train_network(
            data.dataset,
            split,
            recipe,
            context.request.split.seed,
            on_epoch,
            parent=data.parent,
            stage=run_state.stage(stage),
            process_group=context.process_group,
        )


def predict_validation(
    data: PreparedData,
    trained: Trained,
    split: Split,
    process_group: ProcessGroup = SINGLE_PROCESS,
) -> ClipPredictions:
    model, dataset, batch_size = trained.model, data.dataset, data.recipe.batch_size
    return predict(model, dataset.labels, dataset, split.validation, batch_size, process_group)


def assess(
    data: PreparedData,
    trained: Trained,
    by_fold: dict[int, ClipPredictions],
    precision: float | None,
) -> Assessment | None:
    """By the folds, else by the validation recordings; None where nothing was held out."""
    labels, held_out = data.dataset.labels, data.split.validation
    if by_fold:
        return assess_folds(list(by_fold.values()), labels, precision)
    if not held_out:
        return None
    predictions = predict_validation(data, trained, data.split)
    groups = [data.groups[at] for at in held_out]
    return assess_validation(predictions, labels, groups, precision)


def assess_and_publish(
    context: RunContext,
    data: PreparedData,
    trained: Trained,
    by_fold: dict[int, ClipPredictions],
    distances: Sequence[Distances],
    began: float,
) -> ReportData:
    """Assesses, decides and writes the checkpoint, which is not active yet.

    Returns what was measured of it; its `metrics` are the object of `--json`.
    """
    labels, now = data.dataset.labels, datetime.now(UTC)
    if context.progress:
        context.progress.update(stage="assessing")
    assessment = assess(data, trained, by_fold, context.request.precision)
    temperature = served_temperature(data, assessment)
    trained.model.calibrate(temperature)
    probes = probe(trained.model, labels)
    folds = fold_qualities(assessment, by_fold)
    numbers = metrics(data, trained.history, assessment, folds, probes, temperature)
    thresholds = assessment.thresholds if assessment else {}
    tell_thresholds(context, data, thresholds)
    numbers["seconds"] = round(time.perf_counter() - began, 3)
    promotion = decide_promotion(context, data, trained, assessment)
    facts = {
        **training_facts(data, context.request.split.seed, now),
        "device": describe_device(context.device),
        "promotion": asdict(promotion),
        "profile": assessment and answer_profile(assessment.told_scores, labels, assessment.found),
        **numbers,
    }
    novelty = fit_novelty(trained.model, data.dataset, data.split, distances)
    checkpoint = publish(
        *(context.home, trained.model, labels, data.recipe, facts, now, context.device),
        thresholds,
        novelty,
    )
    outcome = {
        "checkpoint": checkpoint.name,
        "digest": checkpoint.digest,
        **numbers,
        "promoted": promotion.promoted,
        "promotion_reason": promotion.reason,
    }
    n_folds, logmel, unit = len(by_fold), trained.model.logmel, data.dataset.unit
    return ReportData(
        title=checkpoint.name,
        assessed_on=f"Cross-validation, {n_folds} folds" if n_folds else f"Validation {unit}",
        metrics=outcome,
        unit=unit,
        history=trained.history,
        evaluation=assessment.evaluation if assessment else None,
        curves=label_curves(assessment, labels) if assessment else (),
        uncalibrated=assessment.uncalibrated if assessment else None,
        probes=probes,
        top_errors=find_top_errors(data.dataset, assessment, logmel) if assessment else (),
    )


def fold_qualities(
    assessment: Assessment | None, by_fold: dict[int, ClipPredictions]
) -> dict[int, FoldQuality]:
    """How good each fold is, out of the scores of all folds, which stand in their order."""
    if assessment is None:
        return {}
    qualities, begin = {}, 0
    for fold, predictions in by_fold.items():
        of_fold = slice(begin, begin + len(predictions.positions))
        found = None if assessment.found is None else assessment.found[of_fold]
        qualities[fold] = fold_quality(assessment.told_scores[of_fold], predictions.truth, found)
        begin = of_fold.stop
    return qualities


def tell_thresholds(
    context: RunContext, data: PreparedData, thresholds: Mapping[str, Threshold]
) -> None:
    """A line for the labels without a threshold, where there are to be any."""
    precision = context.request.precision
    without = [label for label in data.dataset.labels if label not in thresholds]
    if without and (data.dataset.task == "multi" or precision is not None):
        wanted = f" for a precision of {precision:g}" if precision else ""
        context.console.print_line(
            f"note: too few held-out examples say enough{wanted}, and so there is no threshold of "
            f"{listed(without)}"
        )


def finish(context: RunContext, report_data: ReportData) -> TrainOutcome:
    """Activates what is promoted, reports and prunes; no failure undoes the publication."""
    home, name, print_line = context.home, report_data.title, context.console.print_line
    if report_data.metrics["promoted"]:
        torch.cuda.empty_cache()  # room for a daemon that now loads it on the same device
        refused = refused_checkpoints(context.settings.database)
        CheckpointFolder(home.checkpoints).activate(name, refused)
    report: Path | None = home.reports / name
    try:
        write_report(home.reports / name, report_data)
    except (OSError, StorageError, TrainerError, ValueError, RuntimeError) as error:
        print_line(f"the report {report} was not written ({error}); the checkpoint was")
        report = None
    if context.progress:
        context.progress.update(outcome=TrainingOutcome(**report_data.metrics))
    prune_after_training(home, context.settings.checkpoints.keep, name, print_line)
    return TrainOutcome(dict(report_data.metrics), report)
