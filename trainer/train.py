"""From a labels file to a published checkpoint: the whole way, step by step."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from classifier.inference.device import choose_device, describe_device, refusing_when_memory_ends
from classifier.model.checkpoint import Checkpoint
from classifier.workers.malloc import keep_freed_memory
from storage.errors import StorageError
from storage.home.checkpoint_folder import CheckpointFolder
from storage.home.paths import Home
from storage.ledger.checkpoints import refused_checkpoints
from storage.settings.schema import Settings
from trainer.checkpoints.remove import tidy
from trainer.console import ProgressConsole
from trainer.data.splits import Split
from trainer.errors import TrainerError
from trainer.evaluation.assessment import (
    Assessment,
    ClipPredictions,
    judge_folds,
    judge_validation,
    listen,
)
from trainer.evaluation.probes import Probe, probe
from trainer.evaluation.top_errors import most_confident_mistakes
from trainer.promotion.decide import admit
from trainer.promotion.publish import check_home, publish
from trainer.promotion.rule import Promotion
from trainer.promotion.training_facts import (
    FoldResult,
    answer_profile,
    metrics,
    run_facts,
    served_temperature,
    training_facts,
)
from trainer.reports.html import ReportData
from trainer.reports.training_report import write_report
from trainer.training.distributed import ALONE, ProcessGroup
from trainer.training.loop import EpochFacts, Trained, train_network
from trainer.training.prepare import PreparedData, RunContext, TrainRequest, prepare
from trainer.training.priority import give_way
from trainer.training.resume import RunStage, RunState, open_journal


@dataclass(frozen=True)
class TrainOutcome:
    """What came out of it: the object of `clfd train --json`, and the folder of the report.

    None where the report could not be written.
    """

    outcome: dict[str, Any]
    report: Path | None


def learn(
    request: TrainRequest,
    home: Home,
    settings: Settings,
    narrator: ProgressConsole,
    team: ProcessGroup = ALONE,
) -> TrainOutcome | None:
    """Prepares, trains, judges, publishes, promotes and reports, in this order.

    None in all processes of a team but the first. Raises TrainerError, ClassifierError or
    StorageError.
    """
    began = time.perf_counter()
    check_home(home)
    give_way(home, settings.training)
    keep_freed_memory()
    device = team.device(choose_device(settings.engine.device))
    room = RunContext(request, home, settings, device, narrator, team)
    with refusing_when_memory_ends(no_memory(device)):
        lessons = prepare(request, home, settings, device, narrator, team)
        announce(lessons, narrator)
        with open_run(room, lessons) as journal:
            with saying_how_to_go_on(journal, narrator):
                trained, statements = train_all(room, lessons, journal)
                if not team.speaks:
                    return None
                published = judge_and_publish(room, lessons, trained, statements, began)
            return conclude(room, published)


def train_all(
    room: RunContext, lessons: PreparedData, journal: RunState
) -> tuple[Trained, dict[int, ClipPredictions]]:
    """The network to publish, and what those of the folds said of what they never heard."""
    statements = {}
    for fold, split in lessons.rounds.items():
        room.narrator.say(
            f"fold {fold}: training on {len(split.train)}, validating on {len(split.validation)}"
        )
        network = train(room, lessons, split, journal.stage(f"fold-{fold}"))
        statements[fold] = say(lessons, network, split)
    return train(room, lessons, lessons.split, journal.stage("published")), statements


@dataclass(frozen=True)
class Published:
    """A checkpoint on the shelf, and all that was found out about it."""

    checkpoint: Checkpoint
    promotion: Promotion
    outcome: dict[str, Any]
    findings: ReportData


def judge_and_publish(
    room: RunContext,
    lessons: PreparedData,
    trained: Trained,
    statements: dict[int, ClipPredictions],
    began: float,
) -> Published:
    """Judges, decides and writes; nothing is served yet."""
    home, recipe, now = room.home, lessons.recipe, datetime.now(UTC)
    labels = lessons.dataset.labels
    judgement = judge(lessons, trained, statements)
    temperature = served_temperature(lessons, judgement)
    trained.model.temperature = temperature
    probes = probe(trained.model, labels)
    results = fold_results(judgement, statements)
    numbers = metrics(lessons, trained.history, judgement, results, probes, temperature)
    numbers["seconds"] = round(time.perf_counter() - began, 3)
    promotion = admit(room, lessons, trained, judgement)
    facts = {
        **training_facts(lessons, room.request.split.seed, now),
        "device": describe_device(room.device),
        "promotion": asdict(promotion),
        "profile": answer_profile(judgement.scores, labels) if judgement else None,
        **numbers,
    }
    checkpoint = publish(home, trained.model, labels, recipe, facts, now, room.device)
    outcome = {
        "checkpoint": checkpoint.name,
        "digest": checkpoint.digest,
        **numbers,
        "promoted": promotion.promoted,
        "promotion_reason": promotion.reason,
    }
    findings = find(lessons, trained, judgement, probes, checkpoint, outcome)
    return Published(checkpoint, promotion, outcome, findings)


def conclude(room: RunContext, published: Published) -> TrainOutcome:
    """Activates what passed, reports and tidies up; no fault in it undoes what was published."""
    name, say = published.checkpoint.name, room.narrator.say
    if published.promotion.promoted:
        torch.cuda.empty_cache()  # room for a daemon that now loads it on the same device
        refused = refused_checkpoints(room.settings.database)
        CheckpointFolder(room.home.checkpoints).activate(name, refused)
    report: Path | None = room.home.reports / name
    try:
        write_report(room.home.reports / name, published.findings)
    except (OSError, StorageError, TrainerError, ValueError, RuntimeError) as error:
        say(f"the report {report} was not written ({error}); the checkpoint was")
        report = None
    tidy(room.home, room.settings.checkpoints.keep, name, say)
    return TrainOutcome(published.outcome, report)


def train(room: RunContext, lessons: PreparedData, split: Split, stage: RunStage) -> Trained:
    recipe, narrator = lessons.recipe, room.narrator
    with narrator.bar("training", recipe.epochs) as advance:

        def on_epoch(facts: EpochFacts) -> None:
            narrator.epoch(facts, recipe.epochs)
            advance()

        return train_network(
            lessons.dataset,
            split,
            recipe,
            room.request.split.seed,
            on_epoch,
            parent=lessons.parent,
            stage=stage,
            team=room.team,
        )


def say(lessons: PreparedData, trained: Trained, split: Split) -> ClipPredictions:
    dataset, at_once = lessons.dataset, lessons.recipe.batch_size
    return listen(trained.model, dataset.labels, dataset, split.validation, at_once)


def judge(
    lessons: PreparedData, trained: Trained, statements: dict[int, ClipPredictions]
) -> Assessment | None:
    """By the folds, else by the validation recordings; None where nothing was held out."""
    labels, held_out = lessons.dataset.labels, lessons.split.validation
    if statements:
        return judge_folds(list(statements.values()), labels)
    if not held_out:
        return None
    said = say(lessons, trained, lessons.split)
    return judge_validation(said, labels, [lessons.groups[at] for at in held_out])


def fold_results(
    judgement: Assessment | None, statements: dict[int, ClipPredictions]
) -> list[FoldResult]:
    """Each fold by itself, out of the scores of all of them together."""
    results, begin = [], 0
    for fold, said in statements.items():
        assert judgement is not None
        end = begin + len(said.positions)
        results.append(FoldResult(fold, judgement.scores[begin:end], said.truth))
        begin = end
    return results


def find(
    lessons: PreparedData,
    trained: Trained,
    judgement: Assessment | None,
    probes: Sequence[Probe],
    checkpoint: Checkpoint,
    outcome: dict[str, Any],
) -> ReportData:
    """What the report shows: with folds, each recording as it was judged while unheard."""
    n_folds = len(lessons.rounds)
    return ReportData(
        title=checkpoint.name,
        judged_on=f"Cross-validation, {n_folds} folds" if n_folds else "Validation recordings",
        metrics=outcome,
        history=trained.history,
        evaluation=judgement.evaluation if judgement else None,
        uncalibrated=judgement.uncalibrated if judgement else None,
        probes=probes,
        mistakes=(
            most_confident_mistakes(lessons.dataset, judgement, trained.model.logmel)
            if judgement
            else ()
        ),
    )


def announce(lessons: PreparedData, narrator: ProgressConsole) -> None:
    recipe, dataset, split = lessons.recipe, lessons.dataset, lessons.split
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
    there = {example.label for example in dataset.examples}
    if unheard := sorted(set(dataset.labels) - there):
        narrator.say(
            f"note: {', '.join(unheard)}: known from {lessons.parent and lessons.parent.name}, but "
            "without an example here, and so unlearned bit by bit; add some"
        )
    unjudged = there - {dataset.examples[at].label for at in split.validation}
    if split.validation and unjudged:
        narrator.say(f"note: nothing validates these labels: {', '.join(sorted(unjudged))}")


@contextmanager
def open_run(room: RunContext, lessons: PreparedData) -> Iterator[RunState]:
    """The journal of this very run."""
    facts, resume = run_facts(lessons, room.request.split.seed, room.team.size), room.request.resume
    say = room.narrator.say
    with open_journal(room.home.runs, facts, resume, say, room.team) as journal:
        if resume and not journal.has_begun():
            say("nothing to resume for these labels and options: a new run")
        yield journal


@contextmanager
def saying_how_to_go_on(journal: RunState, narrator: ProgressConsole) -> Iterator[None]:
    """Once it is published, there is nothing to go on with."""
    try:
        yield
    except (KeyboardInterrupt, StorageError):
        if journal.has_begun():
            narrator.say(
                "stopped; the same command with --resume goes on from the last epoch it saved"
            )
        raise


def no_memory(device: torch.device) -> TrainerError:
    return TrainerError(
        f"{device} has too little memory for this; "
        "take a smaller --batch-size, fewer files, or a smaller network"
    )
