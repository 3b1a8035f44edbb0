"""Labelled recordings to evaluate a checkpoint on, decoded in the checkpoint's audio format."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from classifier.model.checkpoint import Checkpoint
from classifier.workers.pool import DecodePool
from storage.settings.schema import Settings
from storage.values.text import listed
from trainer.console import ProgressConsole
from trainer.data.dataset import Dataset, decode_dataset
from trainer.data.examples import Example, LabelSet
from trainer.data.labels import TaskChoice, read_labels, refuse_problems
from trainer.data.overlaps import contradictions, with_shared_labels
from trainer.errors import TrainerError, first_lines


@dataclass(frozen=True)
class EvaluateRequest:
    """What a person asked for; `output` is the folder of the report."""

    labels: Path
    checkpoint: str = "active"
    fold: int | None = None
    skip_bad: bool = False
    include_trained: bool = False
    output: Path | None = None


def prepare_evaluation(
    request: EvaluateRequest,
    checkpoint: Checkpoint,
    folder: Path,
    settings: Settings,
    device: torch.device,
    console: ProgressConsole,
) -> tuple[LabelSet, Dataset, int]:
    """Reads labels, of one fold or all, and decodes their files; `folder` may take their clips.

    Returns the labels, the recordings that can be evaluated, and how many rows were left out.
    Raises LabelsError naming what is wrong with the labels, what cannot be decoded, the same sound
    under two labels, and labels that the checkpoint does not know; with `skip_bad` such recordings
    are left out and named.
    """
    source, skip_bad = request.labels, request.skip_bad
    task = TaskChoice(checkpoint.description.task, settings.training.negative_labels)
    labels = read_labels(source, settings.intake.suffixes, skip_bad, min_labels=1, task=task)
    asked = of_fold(labels, request.fold)
    unknown = unknown_labels(asked, checkpoint, source)
    refuse_problems(source, unknown, skip_bad)
    examples = [each for each in asked if set(each.labels) <= set(checkpoint.labels)]
    engine, memory_gib = settings.engine, settings.training.memory_gib
    with DecodePool[int](engine.decode_workers, engine.decode_timeout_seconds) as pool:
        decoded = decode_dataset(
            examples,
            checkpoint.audio_format,
            pool,
            memory_gib,
            folder,
            console,
            device=device,
            channel=engine.channel,
        )
    found = contradictions(decoded.examples, decoded.digests)
    problems = (*decoded.problems, *(problem.line for problem in found))
    refuse_problems(source, problems, skip_bad)
    contradictory = {at for problem in found for at in problem.positions}
    dataset = decoded.subset([n for n in range(len(decoded.examples)) if n not in contradictory])
    if dataset.task == "multi":
        shared = with_shared_labels(dataset.examples, dataset.digests)
        dataset = replace(dataset, examples=shared)
    if not dataset.examples:
        raise TrainerError(f"{source}: no recording is left to judge by; correct the labels")
    for line in first_lines((*labels.skipped, *unknown, *problems)):
        console.print_line(f"left out: {line}")
    n_rows = len(labels.skipped) + len(asked)
    return labels, dataset, n_rows - len(dataset.examples)


def of_fold(labels: LabelSet, fold: int | None) -> list[Example]:
    """All examples, or those of one fold. Raises TrainerError where that fold is empty."""
    asked = [each for each in labels.examples if fold is None or each.fold == fold]
    if not asked:
        folds = sorted({each.fold for each in labels.examples if each.fold is not None})
        which = f"choose one of: {', '.join(map(str, folds))}" if folds else "add a fold column"
        raise TrainerError(f"{labels.source}: no example is in fold {fold}; {which}")
    return asked


def unknown_labels(examples: Sequence[Example], checkpoint: Checkpoint, source: Path) -> list[str]:
    """A line for each label that the checkpoint does not know.

    Their recordings are no errors of the network, which was not trained on such a label. Raises
    TrainerError where it knows none of the labels.
    """
    unknown: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        for label in set(example.labels).difference(checkpoint.labels):
            unknown[label].append(example)
    if len({id(each) for found in unknown.values() for each in found}) == len(examples):
        raise TrainerError(
            f"{source}: {checkpoint.name} knows none of its labels, only "
            f"{listed(checkpoint.labels)}; name another --checkpoint, or other labels"
        )
    return [
        f"label {label!r}: unknown to {checkpoint.name} (recordings: {len(found)}, the first: "
        f"{found[0].place})"
        for label, found in sorted(unknown.items())
    ]
