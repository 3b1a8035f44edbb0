"""Comparison of a candidate with the active checkpoint, on recordings neither was trained on.

The active checkpoint has its own audio format, so the files are decoded once more, through the
worker pool. The digests of training files, which checkpoints hold, say what was trained on what.

Axes: R recordings, L labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from classifier.errors import CheckpointError
from classifier.inference.device import refusing_when_memory_ends
from classifier.inference.pooling import Scores
from classifier.model.checkpoint import Checkpoint, read_checkpoint
from classifier.model.starter import is_starter
from classifier.workers.pool import DecodePool
from storage.home.checkpoint_folder import CheckpointFolder
from trainer.data.dataset import Dataset, load_dataset
from trainer.data.examples import Example
from trainer.evaluation.metrics import answer_recordings, served_model
from trainer.evaluation.significance import (
    Comparison,
    answers_from,
    compare_answers,
    compare_rankings,
)
from trainer.promotion.rule import Active, Incomparable

MIN_GROUPS = 5  # of four, even four losses to no gain are chance more often than once in twenty
RECORDINGS_PER_BATCH = 64  # a part at a time, beside training data that may fill the memory
BATCH_SIZE = 32  # whatever the candidate's batch: the active network may be far larger

OpenPool = Callable[[], AbstractContextManager[DecodePool[int]]]


@dataclass(frozen=True)
class HeldOut:
    """What a candidate tells of recordings of a dataset that it was not trained on.

    labels: the candidate's L labels, in the order of what is told.
    positions: R recordings, as positions in the dataset.
    told_scores: (R, L), see `Answers`.
    trained_on: digests of all files that the networks which told it, and their
        ancestors, were trained on; None where an ancestor does not say.
    by_folds: the networks of a cross-validation told it, each for its own fold.
    """

    labels: Sequence[str]
    positions: Sequence[int]
    told_scores: Scores
    trained_on: frozenset[str] | None = frozenset()
    by_folds: bool = False


def read_active(checkpoint_folder: CheckpointFolder) -> Active | None:
    """The facts of the active checkpoint that the rule needs; None where there is none."""
    name = checkpoint_folder.active()
    if name is None:
        return None
    try:
        checkpoint = read_checkpoint(checkpoint_folder.path(name))
    except CheckpointError as error:
        return Active(name, refusal=_without_remedy(error))
    return Active(name, checkpoint.labels, is_starter(checkpoint))


def compare(
    active: Path,
    held_out: HeldOut,
    dataset: Dataset,
    groups: Sequence[str],
    open_pool: OpenPool,
    device: torch.device,
) -> Comparison:
    """Compares a candidate with the checkpoint in this file; `groups` are those of the dataset.

    Raises Incomparable, whatever the reason: hours of training must not end here.
    """
    no_memory = Incomparable(f"{device} has too little memory to score with {active.stem}")
    try:
        checkpoint = read_checkpoint(active)
        chosen = _enough(
            untrained_by_both(checkpoint, held_out, dataset, groups), checkpoint, groups
        )
        with refusing_when_memory_ends(no_memory):
            active_scores = dict(predict_active(checkpoint, dataset, chosen, open_pool, device))
    except CheckpointError as error:
        raise Incomparable(_without_remedy(error)) from error
    answered = _enough(list(active_scores), checkpoint, groups)
    row_of = {at: row for row, at in enumerate(held_out.positions)}
    of_candidate = held_out.told_scores[[row_of[at] for at in answered]]
    of_active = np.stack([active_scores[at] for at in answered])
    examples = [dataset.examples[at] for at in answered]
    of_groups = [groups[at] for at in answered]
    if dataset.task == "multi":
        comparison = _compare_rankings(
            examples, of_candidate, held_out.labels, of_active, checkpoint.labels, of_groups
        )
    else:
        comparison = compare_answers(
            truth=[example.label for example in examples],
            candidate=answers_from(of_candidate, held_out.labels),
            active=answers_from(of_active, checkpoint.labels),
            groups=of_groups,
        )
    return replace(comparison, by_folds=held_out.by_folds)


def _compare_rankings(
    examples: Sequence[Example],
    candidate: Scores,
    labels: Sequence[str],
    active: Scores,
    active_labels: Sequence[str],
    groups: Sequence[str],
) -> Comparison:
    """By the labels that both know and one of the recordings bears, whatever task the active has.

    Raises Incomparable where there is none.
    """
    borne = {label for example in examples for label in example.labels}
    shared = sorted(borne.intersection(labels).intersection(active_labels))
    if not shared:
        raise Incomparable("no held-out recording bears a label that both know")
    bears = np.array([[label in example.labels for label in shared] for example in examples])
    of_candidate, of_active = (
        scores[:, [list(known).index(label) for label in shared]]
        for scores, known in ((candidate, labels), (active, active_labels))
    )
    return compare_rankings(bears, of_candidate, of_active, groups)


def untrained_by_both(
    active: Checkpoint, held_out: HeldOut, dataset: Dataset, groups: Sequence[str]
) -> list[int]:
    """Positions of recordings whose label both know, and that neither was trained on.

    In a multi task a recording without a label says as much of it as one that bears it.
    A recording counts as trained on where a relative of it was.
    Raises Incomparable where one of the two does not say what it was trained on.
    """
    if held_out.trained_on is None:
        raise Incomparable("the new checkpoint's parent does not say what it was trained on")
    training = active.description.training
    digests = training.get("recording_digests")
    ancestors_known = training.get("ancestors_known", True)
    if not ancestors_known or not isinstance(digests, list) or not digests:
        raise Incomparable(f"{active.name} does not say what it was trained on")
    trained_on = held_out.trained_on.union(map(str, digests))
    trained_groups = {
        group for group, digest in zip(groups, dataset.digests, strict=True) if digest in trained_on
    }
    shared_labels = set(active.labels).intersection(held_out.labels)
    return [
        at
        for at in held_out.positions
        if groups[at] not in trained_groups
        and (dataset.task == "multi" or dataset.examples[at].label in shared_labels)
    ]


def predict_active(
    active: Checkpoint,
    dataset: Dataset,
    positions: Sequence[int],
    open_pool: OpenPool,
    device: torch.device,
) -> Iterator[tuple[int, Scores]]:
    """Position and answer (L,) of each recording whose content is still that of the dataset.

    The answer is what is told; in a multi task the scores, which rank whatever task it has.

    Raises CheckpointError where the checkpoint would not be served on this device either.
    """
    model = served_model(active, device)
    with open_pool() as pool:
        for begin in range(0, len(positions), RECORDINGS_PER_BATCH):
            asked = positions[begin : begin + RECORDINGS_PER_BATCH]
            at_of = {dataset.examples[at]: at for at in asked}
            part = load_dataset(
                list(at_of), active.audio_format, pool, device, channel=dataset.channel
            )
            if not part.examples:
                continue
            every = range(len(part.examples))
            answers = answer_recordings(model, active.labels, part, every, BATCH_SIZE)
            rows = answers.told_scores if dataset.task == "single" else answers.scores
            for example, digest, row in zip(part.examples, part.digests, rows, strict=True):
                at = at_of[example]
                if digest == dataset.digests[at]:  # else the file has changed meanwhile
                    yield at, row


def _enough(positions: list[int], active: Checkpoint, groups: Sequence[str]) -> list[int]:
    n_groups = len({groups[at] for at in positions})
    if n_groups < MIN_GROUPS:
        raise Incomparable(
            f"too few independent recordings were held out that {active.name} was not trained on "
            f"and whose label both know: {n_groups}, and it takes {MIN_GROUPS}"
        )
    return positions


def _without_remedy(error: CheckpointError) -> str:
    """What is wrong, and with which; without what to do."""
    return str(error).partition(";")[0]
